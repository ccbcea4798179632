"""Remember finished stages: their serializer and their cache keys.

1. A key holds the round, the stage and the digest of the code. A Retry skips what is finished, and
   after a fix runs the fix.
2. The key of collect also holds what lay in the inbox, and that of validate what was collected.
   Where a round failed below quorum, the Retry therefore sees an update that came since. Where
   nothing came, it does not wait for stragglers again.
3. Results are written in the codec's canonical form: there is no pickle, and only the types named
   here can come back.
4. What computes, signs or commits (reconcile, broadcast) is never cached. A cached stage saves
   time; the guarantee is the object store's.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.serializers import Serializer
from prefect.tasks import Task, exponential_backoff
from pydantic import Field

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.runner import Arrivals, Judged, Stage
from hyperfed.errors import SchemaError
from hyperfed.protocol.object_keys import Keys
from tasks.code import code_digest
from tasks.coordinator import runner_of
from tasks.faults import is_transient

__all__ = ["StageSerializer", "arrivals_key", "inbox_key", "round_task", "stage_key"]

_KINDS: Final = {kind.__name__: kind for kind in (Arrivals, Judged, Stage)}
_DIGITS = 32

P = ParamSpec("P")
R = TypeVar("R")
CacheKey = Callable[[TaskRunContext, dict[str, Any]], str]


def round_task(
    name: str,
    *,
    run_name: str,
    kept_by: CacheKey | None = None,
    retried: Callable[..., bool] = is_transient,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a round: how it is retried, and whether its result is kept.

    Args:
        name: The task's name in the UI.
        run_name: The name of a run, with the parameters that tell runs apart.
        kept_by: The key under which a finished stage is remembered in the drop-box. With None the
            task always runs.
        retried: Which failures are worth another try (`tasks.faults`).
    """
    keeping: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE}
    if kept_by is not None:
        keeping = {
            "persist_result": True,
            "result_serializer": StageSerializer(),
            "cache_key_fn": kept_by,
        }

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return task(
            name=name,
            task_run_name=run_name,
            retries=3,
            retry_delay_seconds=exponential_backoff(2),
            retry_condition_fn=retried,
            **keeping,
        )(function)

    return decorate


class StageSerializer(Serializer):  # not Serializer[Any]: Prefect registers a parametrized base too
    """Writes a stage's result as base64 of the codec's document.

    A failure is written as its text, which nobody reads back.
    """

    type: str = Field(default="hyperfed-stage", frozen=True)

    def dumps(self, obj: Any) -> bytes:
        """Return the bytes to keep for a result or a failure."""
        return (
            b"!" + str(obj).encode()
            if isinstance(obj, BaseException)
            else base64.b64encode(PayloadCodec(compression="zstd").encode(obj))
        )

    def loads(self, blob: bytes) -> Any:
        """Return the result that was kept. Raises SchemaError for anything but a stage's result."""
        try:
            data = base64.b64decode(blob, validate=True)
        except ValueError as exc:
            raise SchemaError(
                "is no stage's result", remedy="Nothing to do: the stage runs again"
            ) from exc
        name = PayloadCodec().kind_of(data)
        if name not in _KINDS:
            raise SchemaError(
                f"a {name!r:.60} is no stage's result", remedy="Nothing to do: the stage runs again"
            )
        return PayloadCodec().decode(data, _KINDS[name])


def _key(round_id: int, stage: str, *more: str) -> str:
    return "/".join((f"rounds/{round_id:08d}", stage.replace(" ", "-"), code_digest(), *more))


def stage_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Return the key of a stage whose outcome cannot change any more once it has returned."""
    return _key(parameters["round_id"], context.task.name)


def inbox_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Return the key of collect: the round, and all that lies in the inboxes it may take from."""
    runner = runner_of(parameters["coordinator"])
    round_id: int = parameters["round_id"]
    first = max(1, round_id - runner.plan(round_id).value.policy.max_staleness)
    listed = (
        (info.key, info.size)
        for r in range(first, round_id + 1)
        for info in runner.store.list(Keys.inbox(r))
    )
    return _key(
        round_id,
        context.task.name,
        hashlib.sha256(repr(list(listed)).encode()).hexdigest()[:_DIGITS],
    )


def arrivals_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Return the key of validate: the round, and what was collected for it."""
    arrivals: Arrivals = parameters["arrivals"]
    return _key(
        arrivals.round,
        context.task.name,
        hashlib.sha256(PayloadCodec().encode(arrivals)).hexdigest()[:_DIGITS],
    )
