"""Assemble one round as a person wants to see it, from the drop-box and nothing else (`RoundView`).

1. Everything in it was verified (`DropBoxReader`) and is what the ledger names. A freeze, result or
   state that the ledger does not name is an error (R-61).
2. A view exists for every round: committed, void, under way, or never opened. What is not there yet
   is empty, and `outcome` says why.
3. Numbers of the budget are those after the round's own last ledger entry, not today's.
4. Lists are complete except those of edges and hyperedges. All of these are counted, and only the
   strongest are named.

What it does not do: render a page (`markdown`, `html`, `text`, `graph_svg`), judge, or read a
clock. Reading `state` and listing the inbox takes the rights of an operator or an auditor.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import RESTORE_BUCKET, ConfigError, RoundError, SchemaError
from hyperfed.hypergraph.change import Change, change_between
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.privacy_statement import PrivacyStatement
from hyperfed.packets import PolicyPack
from hyperfed.protocol.documents import end_of
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys, parse_inbox_key
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
    Tombstone,
)
from hyperfed.report.rows import (
    BudgetView,
    CountedRow,
    EdgeRow,
    HyperedgeRow,
    LedgerRow,
    Outcome,
    RefusedRow,
    SuppressedRow,
    TrustRow,
)
from hyperfed.report.spending import budget_view
from hyperfed.report.trust_rows import trust_rows

__all__ = ["RoundView", "committed_model", "edge_rows", "view_of"]

KEPT_EDGES = 500
"""The most edges, hyperedges and changes of each kind that a view names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundView:
    """Shows one round: what it was asked to do, who took part, and what came of it.

    Without a plan, the fields that the plan would fill are empty or None.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round's number, from 1."""
    outcome: Outcome
    """How far the round has come."""
    opens: datetime
    """When its window opens."""
    deadline: datetime
    """When its window ends."""
    close_by: datetime | None = None
    """Until when it may be retried."""
    frozen_at: datetime | None = None
    """When it was decided who counts; None where it is not decided."""
    rule: str = ""
    """The id of the rule that made it void; empty unless it has a tombstone."""
    reason: str = ""
    """Why it is void; empty unless it has a tombstone."""
    cohort: tuple[str, ...] = ()
    """The clients that are invited, ascending."""
    quorum: int = 0
    """The number of clients that must be counted."""
    policy: PolicyPack | None = None
    """The plan's policy."""
    variables: tuple[str, ...] = ()
    """The names of the plan's vocabulary, in its order."""
    arrived: tuple[str, ...] = ()
    """The clients of the cohort with an object in the round's inbox, ascending."""
    arrived_bytes: int = 0
    """The bytes of these objects, sealed as they lie there."""
    counted: tuple[CountedRow, ...] = ()
    """The updates that the freeze counts."""
    refused: tuple[RefusedRow, ...] = ()
    """The objects that the freeze refuses."""
    missing: tuple[str, ...] = ()
    """The clients of the cohort without an update, ascending: before the freeze those that have not
    arrived, and after it those that are neither counted, refused, excluded nor late.
    """
    excluded: tuple[str, ...] = ()
    """The clients that the freeze leaves out for their trust, ascending."""
    late: tuple[str, ...] = ()
    """The clients whose objects all came after the freeze, ascending."""
    trust: tuple[TrustRow, ...] = ()
    """The clients that were invited or counted, the one with the least weight first."""
    budget: BudgetView
    """The privacy budget after the round."""
    edges: tuple[EdgeRow, ...] = ()
    """The strongest merged edges."""
    edge_count: int = 0
    """The number of all merged edges."""
    hyperedges: tuple[HyperedgeRow, ...] = ()
    """The strongest merged hyperedges, the strongest first."""
    hyperedge_count: int = 0
    """The number of all merged hyperedges."""
    confounders: tuple[tuple[str, float], ...] = ()
    """(variable, share by weight of the clients that name it) of each suspected confounder."""
    suppressed: tuple[SuppressedRow, ...] = ()
    """The edges that fewer than `minimum_support` clients stand behind."""
    few: tuple[str, ...] = ()
    """The variables that fewer than `minimum_support` clients measured."""
    minimum_support: int = 1
    """The number of clients that the registry asks for behind everything that is released."""
    base_round: int = 0
    """The last committed round before this one; 0 where there is none."""
    change: Change | None = None
    """What changed since that round; None unless this one is committed."""
    ledger: tuple[LedgerRow, ...] = ()
    """The round's ledger entries."""
    digests: tuple[tuple[str, bytes], ...] = ()
    """(name, packet digest) of each of the round's objects that is there."""
    statement: str = ""
    """What the result protects and what it does not."""
    privacy: PrivacyStatement | None = None
    """The same as fields; None unless the release is private."""
    warnings: tuple[str, ...] = ()
    """What must be known of a model of few clients or few rows, as sentences."""

    @property
    def weighed(self) -> bool:
        """Whether bounded trust weighed the clients."""
        return (
            self.outcome is Outcome.COMMITTED
            and self.policy is not None
            and self.policy.strategy == "consensus"
            and len(self.counted) > 2
        )

    @property
    def silenced(self) -> tuple[str, ...]:
        """Counted clients to which bounded trust gave no weight."""
        return (
            tuple(row.client for row in self.trust if row.weight is not None and row.weight <= 0)
            if self.weighed
            else ()
        )

    @property
    def barred(self) -> tuple[str, ...]:
        """Clients that the next round will leave out for their trust, ascending."""
        return tuple(sorted(row.client for row in self.trust if row.barred))

    @property
    def delayed(self) -> tuple[CountedRow, ...]:
        """Counted updates that were made for an earlier round."""
        return tuple(row for row in self.counted if row.late)


def view_of(reader: DropBoxReader, round_id: int) -> RoundView:
    """Return the view of a round.

    Raises ConfigError for a round below 1, RoundError where the drop-box contradicts its ledger,
    and what the reader raises.
    """
    if round_id < 1:
        raise ConfigError(
            f"there is no round {round_id}",
            subject="round",
            remedy="Give a number of 1 or more: rounds are counted from 1",
        )
    ledger = reader.ledger()
    plan = reader.plan(round_id)
    frozen = reader.freeze(round_id) if plan else None
    registry = reader.registry_at(
        frozen.value.registry_version
        if frozen
        else plan.value.registry_version
        if plan
        else reader.registry.version
    )
    view = RoundView(
        federation=registry.federation,
        round=round_id,
        minimum_support=registry.budget.minimum_support,
        outcome=Outcome.NOT_OPENED,
        opens=registry.windows.opens(round_id),
        deadline=registry.windows.deadline(round_id),
        budget=budget_view(reader, registry, ledger, round_id),
        ledger=tuple(
            LedgerRow(
                sequence=c.entry.sequence, kind=c.entry.kind, digest=c.digest, time=c.entry.time
            )
            for c in ledger
            if c.entry.round == round_id
        ),
    )
    if plan is None:
        return view
    end, result = end_of(ledger, round_id), reader.result(round_id)
    if end is not None and end.entry.kind is EntryKind.VOID and not end.entry.freeze:
        frozen = None  # a freeze that was written after the round was void decides nothing
    state = (
        reader.state(round_id) if end is not None and end.entry.kind is EntryKind.COMMIT else None
    )
    _check(round_id, end, frozen, result, state)
    view = replace(
        _with_people(view, reader, plan.value, frozen.value if frozen else None),
        outcome=_outcome(end, frozen, result),
        digests=tuple(
            (name, s.digest)
            for name, s in (
                ("plan", plan),
                ("freeze", frozen),
                ("result", result),
                ("state", state),
            )
            if s is not None
        ),
        base_round=_base_round(ledger, round_id, frozen.value if frozen else None),
    )
    if result is not None and isinstance(result.value, Tombstone):
        view = replace(view, rule=result.value.rule, reason=result.value.reason)
    base = _committed_state(reader, ledger, view.base_round)
    view = replace(
        view,
        trust=trust_rows(
            round_id=round_id,
            policy=view.policy,
            cohort=view.cohort,
            counted_rows=view.counted,
            refused_rows=view.refused,
            excluded=view.excluded,
            registry=registry,
            base=base,
            state=state.value if state else None,
        ),
    )
    if state is not None and result is not None and isinstance(result.value, GlobalModel):
        view = _with_model(view, result.value, committed_model(reader, ledger, view.base_round))
    return view


def edge_rows(model: GlobalModel, *, keep: int = KEPT_EDGES) -> tuple[EdgeRow, ...]:
    """Return the `keep` strongest edges of a model by |vote|, the strongest first."""
    order = np.argsort(-np.abs(model.evidence.edges.vote), kind="stable")
    return tuple(EdgeRow(**row) for row in model.rows(np.sort(order[:keep])))


def _outcome(end: Chained | None, frozen: object, result: object) -> Outcome:
    if end is not None:
        return Outcome.COMMITTED if end.entry.kind is EntryKind.COMMIT else Outcome.VOID
    if result is not None:
        return Outcome.RELEASED
    return Outcome.FROZEN if frozen is not None else Outcome.OPEN


def _check(
    round_id: int,
    end: Chained | None,
    frozen: Stored[Freeze] | None,
    result: Stored[GlobalModel] | Stored[Tombstone] | None,
    state: object,
) -> None:
    """Check that the drop-box holds what the ledger names (R-61). Raises RoundError."""
    if end is None:
        return
    named_objects = {
        Keys.freeze(round_id): (frozen, end.entry.freeze),
        Keys.result(round_id): (result, end.entry.result),
    }
    if end.entry.kind is EntryKind.COMMIT:
        named_objects[Keys.state(round_id)] = (state, end.entry.state)  # type: ignore[assignment]
    for key, (stored, named) in named_objects.items():
        if (stored.digest if stored is not None else b"") != named:
            problem = (
                "is missing, and the ledger names it"
                if stored is None
                else "is not the one that the ledger names"
            )
            raise RoundError(
                problem,
                subject=key,
                rule="R-61",
                remedy=RESTORE_BUCKET,
            )


def _with_people(
    view: RoundView, reader: DropBoxReader, plan: Plan, freeze: Freeze | None
) -> RoundView:
    counted = freeze.counted if freeze else ()
    refused = freeze.refused if freeze else ()
    excluded = set(freeze.excluded) if freeze else set()
    decided = {c.client for c in counted} | {r.client for r in refused if r.made_for == plan.round}
    judged = {c.key for c in counted} | {r.key for r in refused}
    listed, listed_bytes = _inbox(reader, plan)
    after = {client for client, keys in listed.items() if not judged & keys} if freeze else set()
    here = (decided | excluded | after) if freeze else set(listed)
    decay = plan.policy.staleness_decay
    return replace(
        view,
        opens=plan.opens,
        deadline=plan.deadline,
        close_by=plan.close_by,
        frozen_at=freeze.time if freeze else None,
        cohort=plan.cohort,
        quorum=plan.quorum,
        policy=plan.policy,
        variables=plan.vocabulary.names,
        arrived=tuple(sorted(listed)),
        arrived_bytes=listed_bytes,
        counted=tuple(
            CountedRow(
                client=c.client,
                made_for=c.made_for,
                late=plan.round - c.made_for,
                staleness=decay ** (plan.round - c.made_for),
                sequence=c.sequence,
                digest=c.digest,
            )
            for c in counted
        ),
        refused=tuple(
            RefusedRow(
                key=r.key,
                client=r.client,
                made_for=r.made_for,
                rule=r.rule,
                reason=r.reason,
                remedy=r.remedy,
            )
            for r in refused
        ),
        missing=tuple(c for c in plan.cohort if c not in here),
        excluded=tuple(sorted(excluded)),
        late=tuple(sorted(after)),
    )


def _inbox(reader: DropBoxReader, plan: Plan) -> tuple[dict[str, set[str]], int]:
    """Return the keys that each client of the cohort has in the round's inbox, and their bytes."""
    listed_keys: dict[str, set[str]] = {}
    listed_bytes = 0
    cohort = set(plan.cohort)
    for info in reader.store.list(Keys.inbox(plan.round)):
        try:
            _, client, _ = parse_inbox_key(info.key)
        except SchemaError:
            continue
        if client in cohort:
            listed_keys.setdefault(client, set()).add(info.key)
            listed_bytes += info.size
    return listed_keys, listed_bytes


def _base_round(ledger: list[Chained], round_id: int, freeze: Freeze | None) -> int:
    if freeze is not None:
        return freeze.base_round
    return max(
        (
            c.entry.round
            for c in ledger
            if c.entry.kind is EntryKind.COMMIT and c.entry.round < round_id
        ),
        default=0,
    )


def _committed_state(
    reader: DropBoxReader, ledger: list[Chained], round_id: int
) -> RoundState | None:
    end = end_of(ledger, round_id)
    if end is None:
        return None
    stored_state = reader.state(round_id)
    if stored_state is None or stored_state.digest != end.entry.state:
        raise RoundError(
            "is not the state that the ledger names",
            subject=Keys.state(round_id),
            rule="R-61",
            remedy=RESTORE_BUCKET,
        )
    return stored_state.value


def committed_model(
    reader: DropBoxReader, ledger: list[Chained], round_id: int
) -> GlobalModel | None:
    """Return the model of a round that the ledger commits to; None where the round has none.

    Raises RoundError where the drop-box does not hold what the ledger names.
    """
    end = end_of(ledger, round_id)
    if end is None or end.entry.kind is EntryKind.VOID:
        return None
    stored_result = reader.result(round_id)
    if (
        stored_result is None
        or stored_result.digest != end.entry.result
        or not isinstance(stored_result.value, GlobalModel)
    ):
        raise RoundError(
            "is not the result that the ledger names",
            subject=Keys.result(round_id),
            rule="R-61",
            remedy=RESTORE_BUCKET,
        )
    return stored_result.value


def _with_model(view: RoundView, model: GlobalModel, before: GlobalModel | None) -> RoundView:
    names, hyper, about = model.vocabulary.names, model.hyperedges, model.evidence.hyperedges
    strongest = (
        np.argsort(-np.abs(about.vote), kind="stable")[:KEPT_EDGES].tolist()
        if about is not None
        else []
    )
    return replace(
        view,
        edges=edge_rows(model),
        edge_count=len(model.edges),
        hyperedges=tuple(
            HyperedgeRow(
                sources=tuple(
                    names[s]
                    for s in hyper.sources[
                        int(hyper.offsets[i]) : int(hyper.offsets[i + 1])
                    ].tolist()
                ),
                target=names[int(hyper.target[i])],
                lag=int(hyper.lag[i]),
                effect=float(hyper.effect[i]),
                vote=float(about.vote[i]),
                support=int(about.support[i]),
                measured_by=int(about.measured_by[i]),
            )
            for i in strongest
            if about is not None
        ),
        hyperedge_count=len(hyper),
        confounders=tuple(
            (names[i], score)
            for i, score in zip(
                model.semantic.confounders, model.evidence.confounder_scores, strict=True
            )
        ),
        suppressed=tuple(SuppressedRow(**row) for row in model.suppressed_rows()),
        few=tuple(names[i] for i in model.few.tolist()),
        change=change_between(before, model, keep=KEPT_EDGES),
        statement=model.statement,
        privacy=model.privacy,
        warnings=model.warnings,
    )
