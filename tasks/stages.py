"""How finished stages are remembered: their serializer and their cache keys.

1. A key holds round, stage and the digest of the code: a Retry skips what is finished, and after a fix runs the fix.
2. Collect's key holds what lay in the inbox as well, and validate's what was collected: where a round failed below quorum, an update that came since
   is seen by the Retry. Where nothing came, the stragglers' time is not waited out again.
3. Results are written in the codec's canonical form: no pickle, and only the types named here can come back.
4. What computes, signs or commits (reconcile, broadcast) is never cached. A cached stage saves time; the guarantee is the object store's.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Final

from prefect.context import TaskRunContext
from prefect.serializers import Serializer
from pydantic import Field

import blocks
import hyperfed
from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.runner import Arrivals, Judged, RoundRunner, Stage
from hyperfed.errors import SchemaError
from hyperfed.rounds import Keys

__all__ = ["StageSerializer", "arrivals_key", "code_digest", "inbox_key", "stage_key"]

_KINDS: Final = {kind.__name__: kind for kind in (Arrivals, Judged, Stage)}
_DIGITS = 32


class StageSerializer(Serializer):  # type: ignore[type-arg]  # Prefect registers every subclass, also a parametrized base
    """Stage results as base64 of the codec's documents; a failure, which nobody reads back, as its text."""

    type: str = Field(default="hyperfed-stage", frozen=True)

    def dumps(self, obj: Any) -> bytes:
        return b"!" + str(obj).encode() if isinstance(obj, BaseException) else base64.b64encode(PayloadCodec(compression="zstd").encode(obj))

    def loads(self, blob: bytes) -> Any:
        """Raises SchemaError for anything but a stage's result."""
        try:
            data = base64.b64decode(blob, validate=True)
        except ValueError as exc:
            raise SchemaError("is no stage's result", remedy="The stage runs again") from exc
        name = PayloadCodec().kind_of(data)
        if name not in _KINDS:
            raise SchemaError(f"a {name!r:.60} is no stage's result", remedy="The stage runs again")
        return PayloadCodec().decode(data, _KINDS[name])


@cache
def code_digest() -> str:
    """The digest of the code that the stages run: library, tasks and blocks, as this process has found them."""
    found = hashlib.sha256()
    for package in (hyperfed.__file__, blocks.__file__, __file__):
        folder = Path(str(package)).parent
        for file in sorted(folder.rglob("*.py")):
            found.update(f"{folder.name}/{file.relative_to(folder).as_posix()}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:_DIGITS]


def _key(round_id: int, stage: str, *more: str) -> str:
    return "/".join((f"rounds/{round_id:08d}", stage.replace(" ", "-"), code_digest(), *more))


def stage_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The key of a stage whose outcome cannot change any more once it has returned."""
    return _key(parameters["round_id"], context.task.name)


def inbox_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The key of collect: the round, and all that lies in the inboxes it may take from."""
    runner: RoundRunner = parameters["runner"]
    round_id: int = parameters["round_id"]
    first = max(1, round_id - runner.plan(round_id).value.policy.max_staleness)
    listed = ((info.key, info.size) for r in range(first, round_id + 1) for info in runner.store.list(Keys.inbox(r)))
    return _key(round_id, context.task.name, hashlib.sha256(repr(list(listed)).encode()).hexdigest()[:_DIGITS])


def arrivals_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The key of validate: the round, and what was collected for it."""
    arrivals: Arrivals = parameters["arrivals"]
    return _key(arrivals.round, context.task.name, hashlib.sha256(PayloadCodec().encode(arrivals)).hexdigest()[:_DIGITS])
