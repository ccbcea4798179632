"""Say what this version changes for a federation that another version has run so far.

It is run by the new version, before the old one is replaced, and only reads.

1. Formats: of the newest object of each kind, the schema version that it lies in, the highest in
   which this version would write the next, and the newest that this version reads (R-12). The step
   says what older members could no longer read, and what this version cannot read.
2. Formula: the one of the newest freeze and this version's (`merge.pooling.FORMULA`). It never goes
   back (R-66). A round that is frozen and not ended should end before the formula changes.
3. An engine on sums: the library that the plan was signed for and the one that is here.
4. Keys: whether this version reads the configured key files, and whether the registry knows them.
5. Prefect: its versions here and on the server, whose database migrates when it starts.
6. Fields that a later form replaced, and that the newest plan or registry still uses.

What it does not do: upgrade anything, or look into sealed bodies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hyperfed.codec import PayloadCodec
from hyperfed.codec.reading import leading_int
from hyperfed.codec.versions import newest
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.engines.summed.versions import check_version
from hyperfed.errors import RESTORE_BUCKET, AggregationError, HyperfedError, SchemaError
from hyperfed.merge.pooling import FORMULA
from hyperfed.protocol.documents import end_of
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan

__all__ = ["UpgradeStep", "prefect_step", "upgrade_steps"]

_FINISH = "Finish it with the old version first: Retry it, or wait for its close_by"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeStep:
    """Says what becomes of one thing."""

    name: str
    """What it is, such as "formula"."""
    said: str
    """How it is now, and how it will be."""
    changes: bool = False
    """Whether something will be otherwise than before."""
    before: str = ""
    """What to do before the upgrade; empty where nothing is to be done."""


def upgrade_steps(reader: DropBoxReader, now: datetime) -> list[UpgradeStep]:
    """Return what this version changes, in the order of the module's rules.

    Where the drop-box was written by a newer version, that is the last step: nothing behind it can
    be read. Raises what the reader raises for other faults.
    """
    steps: list[UpgradeStep] = []
    try:
        for step in _steps(reader, now):
            steps.append(step)
    except SchemaError as error:
        if error.rule != "R-12":  # a broken object, which no version reads
            raise
        steps.append(
            UpgradeStep(
                name="newer format",
                said=f"{error.subject}: {error.problem} [{error.rule}]",
                before="This version is older than the federation's: install a newer one",
            )
        )
    return steps


def _steps(reader: DropBoxReader, now: datetime) -> Iterator[UpgradeStep]:
    registry, ledger = reader.registry, reader.ledger()
    running = registry.windows.round_at(max(now, registry.genesis))
    ended = {c.entry.round for c in ledger if c.entry.kind is not EntryKind.RESERVE}
    committed = max((c.entry.round for c in ledger if c.entry.kind is EntryKind.COMMIT), default=0)
    plan = _newest_plan(reader, running, max(ended, default=0))
    freeze = reader.freeze(committed) if committed else None
    yield from _formats(reader, plan, freeze, committed)
    yield _formula(freeze, committed)
    yield from _under_way(reader, ledger, running, max(ended, default=0))
    if plan is not None:
        yield from _engine(plan.value)
    yield from _replaced(reader, plan.value if plan else None)


def _newest_plan(reader: DropBoxReader, running: int, ended: int) -> Stored[Plan] | None:
    return reader.plan(running) or (reader.plan(ended) if ended else None)


def _formats(
    reader: DropBoxReader,
    plan: Stored[Plan] | None,
    freeze: Stored[Freeze] | None,
    committed: int,
) -> Iterator[UpgradeStep]:
    """Yield a step for each kind of object that the drop-box holds."""
    codec, registry = PayloadCodec(), reader.registry
    # what people decide is written as it is now, unless they decide something else
    yield _format("registry", registry, codec.encode(registry), codec.encode(registry))
    if plan is not None:
        yield _format("plan", plan.value, bytes(plan.signed.body), codec.encode(plan.value))
    if freeze is None:
        return
    # what is computed is written alike by one formula, and in any version by another
    same = freeze.value.formula == FORMULA
    for name, stored in (
        ("freeze", freeze),
        ("result", reader.result(committed)),
        ("state", reader.state(committed)),
    ):
        if stored is not None:
            body = bytes(stored.signed.body)
            yield _format(name, stored.value, body, body if same else None)


def _format(name: str, value: Any, lies_as: bytes, next_one: bytes | None) -> UpgradeStep:
    """Return how the schema version of a kind of object goes on.

    `next_one` is what this version would write; None: it depends on what a round finds.
    """
    written, up_to = leading_int(lies_as), newest(type(value))
    to_write = up_to if next_one is None else leading_int(next_one)
    if to_write == written:
        said = f"stays in schema version {written}; this version reads up to {up_to}"
        return UpgradeStep(name=f"format of a {name}", said=said)
    return UpgradeStep(
        name=f"format of a {name}",
        said=f"is in schema version {written}, and new ones are in {to_write} at most",
        changes=True,
        before="Upgrade whoever reads it first: an earlier version refuses a newer one, and names "
        "both versions",
    )


def _formula(freeze: Stored[Freeze] | None, committed: int) -> UpgradeStep:
    if freeze is None and committed:
        return UpgradeStep(
            name="formula",
            said=f"round {committed} is committed, and the drop-box has lost "
            f"{Keys.freeze(committed)}, which says by which formula",
            before=RESTORE_BUCKET,
        )
    if freeze is None:
        return UpgradeStep(name="formula", said=f"no round is committed; {FORMULA} will be used")
    formula, number = freeze.value.formula, freeze.value.round
    if formula == FORMULA:
        return UpgradeStep(
            name="formula", said=f"stays {FORMULA}: the same inputs give the same bytes"
        )
    if formula > FORMULA:
        return UpgradeStep(
            name="formula",
            said=f"{formula} in round {number}, and this version computes {FORMULA}",
            changes=True,
            before="This version is older than the federation's: its rounds would go back, which "
            "an audit finds [R-66]",
        )
    return UpgradeStep(
        name="formula",
        said=f"{formula} up to round {number}, {FORMULA} from the next freeze on: numbers move, "
        "there is no way back, and audits remark earlier rounds instead of computing them [R-66]",
        changes=True,
    )


def _under_way(
    reader: DropBoxReader, ledger: list[Chained], running: int, ended: int
) -> Iterator[UpgradeStep]:
    """Yield a step for each round that is decided and has not ended."""
    for number in range(ended + 1, running + 1):
        frozen = reader.freeze(number)
        if frozen is None or end_of(ledger, number) is not None:
            continue
        moves = frozen.value.formula != FORMULA
        yield UpgradeStep(
            name="round under way",
            said=f"round {number} is frozen under formula {frozen.value.formula} and not ended; "
            + (f"this version would compute it by {FORMULA}" if moves else "any version ends it"),
            changes=moves,
            before=_FINISH if moves else "",
        )


def _engine(plan: Plan) -> Iterator[UpgradeStep]:
    policy = plan.policy
    if policy.payload == "edges":
        return
    stated = policy.statistics.version or "Hyperfed's own engine"
    name = "engine on sums"
    try:
        check_version(policy.statistics.engine, policy.statistics.version)
    except AggregationError as error:
        yield UpgradeStep(name=name, said=error.problem, changes=True, before=error.remedy)
    else:
        yield UpgradeStep(name=name, said=f"stays {stated}")


def _replaced(reader: DropBoxReader, plan: Plan | None) -> Iterator[UpgradeStep]:
    """Yield what still has an earlier form that a later field replaced."""
    registry = reader.registry
    old = []
    if plan is not None and not plan.policy.lags:
        old.append("the policy names max_lag and no lags: set lags, once all clients read them")
    if registry.floors is None:
        old.append("the registry has no floors (R-125): `hyperfed registry set --floor-...`")
    if not registry.close_windows:
        old.append("rounds may stay open without end (R-116): `registry renew --close-windows`")
    for said in old:
        yield UpgradeStep(name="earlier form", said=f"still read; {said}")


def prefect_step(here: str | None, server: str | HyperfedError | None) -> UpgradeStep:
    """Return what becomes of a Prefect server, from Prefect's version here and the server's.

    `here` is None where Prefect or the flows are not here, `server` where no server is named.
    """
    name = "prefect"
    if server is None:
        said = "no server is named here: where this coordinator has one, set PREFECT_API_URL and "
        return UpgradeStep(name=name, said=f"{said}ask again")
    if here is None:
        return UpgradeStep(
            name=name,
            said="this environment has a wheel alone, without Prefect and the flows, and cannot "
            "ask the server",
            before="A coordinator runs from a clone. In yours: `git fetch --tags`, `git worktree "
            "add ../next TAG` with this version's tag, `make -C ../next setup`; then run "
            "`../next/.venv/bin/hyperfed upgrade check`",
        )
    if isinstance(server, HyperfedError):
        asked = f"{server.subject} {server.problem}".strip()
        said = f"{here} here; the server could not be asked: {asked}"
        return UpgradeStep(name=name, said=said, before=server.remedy)
    if here == server:
        return UpgradeStep(name=name, said=f"{here} here and on the server: nothing migrates")
    return UpgradeStep(
        name=name,
        said=f"{here} here, {server} on the server, which migrates its database when it starts",
        changes=True,
        before="Stop the worker, back Prefect's database up, and start the server with the newer "
        "version before the worker. A database does not go back: keep the copy",
    )
