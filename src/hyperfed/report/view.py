"""`RoundView`: one round as a person wants to see it, assembled from the drop-box and nothing else.

1. Everything shown is read verified (`DropBoxReader`) and is what the ledger names: a freeze, result or state that it does not name is an error (R-61).
2. It works for a round that is committed, void, under way or was never opened; what is not there yet is empty, and `outcome` says why.
3. Numbers of the budget are those after the round's own last ledger entry, not today's.
4. Lists are whole but for edges, of which the strongest are named and all are counted.

What it does not do: show (`markdown`, `html`, `text`, `graph_svg`), judge, read a clock. It reads `state` and lists the inbox, which is an
operator's or auditor's right.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from hyperfed.coordinator.budget import budget_in_force
from hyperfed.dropbox import DropBoxReader, Stored
from hyperfed.errors import ConfigError, PrivacyError, RoundError, SchemaError
from hyperfed.global_model import GlobalModel
from hyperfed.packets import PolicyPack
from hyperfed.privacy.accountant import PrivacyAccountant, charges_of, cost_of
from hyperfed.privacy.statement import PrivacyStatement
from hyperfed.protocol.documents import end_of
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import EntryKind, Fate, Freeze, Plan, RoundState, Tombstone
from hyperfed.protocol.reputation import excluded_of
from hyperfed.registry import Budget, Registry
from hyperfed.report.change import Change, change_between
from hyperfed.report.rows import BudgetView, Burnt, CountedRow, EdgeRow, HyperedgeRow, LedgerRow, Outcome, RefusedRow, SuppressedRow, TrustRow
from hyperfed.rounds import Keys
from hyperfed.trust_scorer import PRIOR, TrustState
from hyperfed.validator import parse_inbox_key

__all__ = ["RoundView", "edge_rows", "view_of"]

KEPT_EDGES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundView:
    """A round. opens, deadline, close_by: its window and until when it may be retried; frozen_at: when it was decided who counts.

    arrived: clients of the cohort with something in the round's inbox; missing: those without an update for it; late: those whose update came after
    the freeze. rule, reason: of a void round. base_round: the last committed round before it, 0: none. change: None unless committed.
    suppressed, few, minimum_support: edges and variables that fewer clients than the registry asks for stand behind (`suppression`).
    digests: of its objects, by name. statement: what the result protects and what not; privacy: the same as fields, of a private
    release.
    """

    federation: str
    round: int
    outcome: Outcome
    opens: datetime
    deadline: datetime
    close_by: datetime | None = None
    frozen_at: datetime | None = None
    rule: str = ""
    reason: str = ""
    cohort: tuple[str, ...] = ()
    quorum: int = 0
    policy: PolicyPack | None = None
    variables: tuple[str, ...] = ()
    arrived: tuple[str, ...] = ()
    counted: tuple[CountedRow, ...] = ()
    refused: tuple[RefusedRow, ...] = ()
    missing: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    trust: tuple[TrustRow, ...] = ()
    budget: BudgetView
    edges: tuple[EdgeRow, ...] = ()
    edge_count: int = 0
    hyperedges: tuple[HyperedgeRow, ...] = ()
    hyperedge_count: int = 0
    confounders: tuple[tuple[str, float], ...] = ()
    suppressed: tuple[SuppressedRow, ...] = ()
    few: tuple[str, ...] = ()
    minimum_support: int = 1
    base_round: int = 0
    change: Change | None = None
    ledger: tuple[LedgerRow, ...] = ()
    digests: tuple[tuple[str, bytes], ...] = ()
    statement: str = ""
    privacy: PrivacyStatement | None = None

    @property
    def weighed(self) -> bool:
        """Whether bounded trust weighed the clients."""
        return self.outcome is Outcome.COMMITTED and self.policy is not None and self.policy.strategy == "consensus" and len(self.counted) > 2

    @property
    def silenced(self) -> tuple[str, ...]:
        """Counted clients to which bounded trust gave no weight."""
        return tuple(row.client for row in self.trust if row.weight is not None and row.weight <= 0) if self.weighed else ()

    @property
    def barred(self) -> tuple[str, ...]:
        """Clients that the next round will leave out, as their reputation stands."""
        return tuple(sorted(row.client for row in self.trust if row.barred))

    @property
    def delayed(self) -> tuple[CountedRow, ...]:
        """Counted updates that were made for an earlier round."""
        return tuple(row for row in self.counted if row.late)


def view_of(reader: DropBoxReader, round_id: int) -> RoundView:
    """The view of a round. Raises RoundError where the drop-box contradicts its ledger, and what the reader raises."""
    if round_id < 1:
        raise ConfigError(f"there is no round {round_id}", subject="round", remedy="Rounds are counted from 1")
    ledger = reader.ledger()
    plan = reader.plan(round_id)
    frozen = reader.freeze(round_id) if plan else None
    registry = reader.registry_at(frozen.value.registry_version if frozen else plan.value.registry_version if plan else reader.registry.version)
    view = RoundView(
        federation=registry.federation,
        round=round_id,
        minimum_support=registry.budget.minimum_support,
        outcome=Outcome.NOT_OPENED,
        opens=registry.windows.opens(round_id),
        deadline=registry.windows.deadline(round_id),
        budget=_budget(reader, registry, ledger, round_id),
        ledger=tuple(LedgerRow(sequence=c.entry.sequence, kind=c.entry.kind, digest=c.digest, time=c.entry.time) for c in ledger if c.entry.round == round_id),
    )
    if plan is None:
        return view
    end, result = end_of(ledger, round_id), reader.result(round_id)
    if end is not None and end.entry.kind is EntryKind.VOID and not end.entry.freeze:
        frozen = None  # one that a slow coordinator wrote after the round was void decides nothing
    state = reader.state(round_id) if end is not None and end.entry.kind is EntryKind.COMMIT else None
    _check(round_id, end, frozen, result, state)
    view = replace(
        _with_people(view, reader, plan.value, frozen.value if frozen else None),
        outcome=_outcome(end, frozen, result),
        digests=tuple((name, s.digest) for name, s in (("plan", plan), ("freeze", frozen), ("result", result), ("state", state)) if s is not None),
        base_round=_base_round(ledger, round_id, frozen.value if frozen else None),
    )
    if result is not None and isinstance(result.value, Tombstone):
        view = replace(view, rule=result.value.rule, reason=result.value.reason)
    base = _committed_state(reader, ledger, view.base_round)
    view = replace(view, trust=_trust_rows(view, registry, base, state.value if state else None))
    if state is not None and result is not None and isinstance(result.value, GlobalModel):
        view = _with_model(view, result.value, _committed_model(reader, ledger, view.base_round))
    return view


def edge_rows(model: GlobalModel, *, keep: int = KEPT_EDGES) -> tuple[EdgeRow, ...]:
    """The `keep` strongest edges of a model, strongest vote first."""
    vote = model.evidence.edges.vote
    if len(vote) > keep:
        rows = np.sort(np.argsort(-np.abs(vote), kind="stable")[:keep])
        model = replace(model, edges=model.edges.take(rows), evidence=replace(model.evidence, edges=model.evidence.edges.take(rows)))
    return tuple(EdgeRow(**row) for row in model.rows())


def _outcome(end: Chained | None, frozen: object, result: object) -> Outcome:
    if end is not None:
        return Outcome.COMMITTED if end.entry.kind is EntryKind.COMMIT else Outcome.VOID
    if result is not None:
        return Outcome.RELEASED
    return Outcome.FROZEN if frozen is not None else Outcome.OPEN


def _check(round_id: int, end: Chained | None, frozen: Stored[Freeze] | None, result: Stored[GlobalModel] | Stored[Tombstone] | None, state: object) -> None:
    """R-61: what stands in the drop-box is what the ledger names."""
    if end is None:
        return
    found = {Keys.freeze(round_id): (frozen, end.entry.freeze), Keys.result(round_id): (result, end.entry.result)}
    if end.entry.kind is EntryKind.COMMIT:
        found[Keys.state(round_id)] = (state, end.entry.state)  # type: ignore[assignment]
    for key, (stored, named) in found.items():
        if (stored.digest if stored is not None else b"") != named:
            problem = "is missing, and the ledger names it" if stored is None else "is not the one that the ledger names"
            raise RoundError(problem, subject=key, rule="R-61", remedy="Restore the bucket from its versions; run `hyperfed audit`")


def _budget(reader: DropBoxReader, registry: Registry, ledger: list[Chained], round_id: int) -> BudgetView:
    try:
        budget = budget_in_force(reader, ledger, version=registry.version)
    except PrivacyError:  # it was loosened: the round refuses, the page still shows what was spent
        budget = registry.budget
    mine = [c.entry for c in ledger if c.entry.round == round_id]
    until = mine[-1].sequence if mine else len([c for c in ledger if c.entry.round < round_id])
    before = list(ledger[:until])
    accountant = PrivacyAccountant.of_ledger(before, budget)
    total = accountant.total
    refunds = {e.id for e in mine if e.kind is EntryKind.VOID}
    reserves = [e for e in mine if e.kind is EntryKind.RESERVE]
    cost = [m for e in reserves if e.id not in refunds for m in e.mechanisms]
    return BudgetView(
        epsilon=budget.epsilon,
        delta=budget.delta,
        unit=budget.unit,
        spent_epsilon=total.epsilon,
        spent_delta=total.delta,
        cost_epsilon=cost_of(cost)[0],
        cost_delta=cost_of(cost)[1],
        refunded=any(e.id in refunds and e.mechanisms for e in reserves),
        composition=total.composition.value,
        share=total.share,
        nights_left=accountant.nights_left(cost) if cost else None,
        nights_left_pld=accountant.nights_left_pld(cost[0]) if len(cost) == 1 else None,
        burnt=_burnt(before, budget),
    )


def _burnt(ledger: list[Chained], budget: Budget) -> tuple[Burnt, ...]:
    """The share spent after each charged round."""
    charges, known, out = charges_of(ledger), PrivacyAccountant(epsilon=budget.epsilon, delta=budget.delta), {}
    for number, mechanism in charges:
        known = replace(known, mechanisms=(*known.mechanisms, mechanism))
        out[number] = known
    return tuple(Burnt(round=number, share=known.share) for number, known in out.items())


def _with_people(view: RoundView, reader: DropBoxReader, plan: Plan, freeze: Freeze | None) -> RoundView:
    counted = freeze.counted if freeze else ()
    refused = freeze.refused if freeze else ()
    excluded = set(freeze.excluded) if freeze else set()
    decided = {c.client for c in counted} | {r.client for r in refused if r.made_for == plan.round}
    judged = {c.key for c in counted} | {r.key for r in refused}
    listed = _inbox(reader, plan)
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
        refused=tuple(RefusedRow(key=r.key, client=r.client, made_for=r.made_for, rule=r.rule, reason=r.reason, remedy=r.remedy) for r in refused),
        missing=tuple(c for c in plan.cohort if c not in here),
        excluded=tuple(sorted(excluded)),
        late=tuple(sorted(after)),
    )


def _inbox(reader: DropBoxReader, plan: Plan) -> dict[str, set[str]]:
    """Client of the cohort -> keys it has in the round's inbox."""
    found: dict[str, set[str]] = {}
    cohort = set(plan.cohort)
    for info in reader.store.list(Keys.inbox(plan.round)):
        try:
            _, client, _ = parse_inbox_key(info.key)
        except SchemaError:
            continue
        if client in cohort:
            found.setdefault(client, set()).add(info.key)
    return found


def _base_round(ledger: list[Chained], round_id: int, freeze: Freeze | None) -> int:
    if freeze is not None:
        return freeze.base_round
    return max((c.entry.round for c in ledger if c.entry.kind is EntryKind.COMMIT and c.entry.round < round_id), default=0)


def _committed_state(reader: DropBoxReader, ledger: list[Chained], round_id: int) -> RoundState | None:
    end = end_of(ledger, round_id)
    if end is None:
        return None
    found = reader.state(round_id)
    if found is None or found.digest != end.entry.state:
        raise RoundError(
            "is not the state that the ledger names",
            subject=Keys.state(round_id),
            rule="R-61",
            remedy="Restore the bucket from its versions; run `hyperfed audit`",
        )
    return found.value


def _committed_model(reader: DropBoxReader, ledger: list[Chained], round_id: int) -> GlobalModel | None:
    end = end_of(ledger, round_id)
    if end is None:
        return None
    found = reader.result(round_id)
    if found is None or found.digest != end.entry.result or not isinstance(found.value, GlobalModel):
        raise RoundError(
            "is not the result that the ledger names",
            subject=Keys.result(round_id),
            rule="R-61",
            remedy="Restore the bucket from its versions; run `hyperfed audit`",
        )
    return found.value


def _reputation(state: RoundState | None) -> dict[str, float]:
    """Client -> trust: `protocol.reputation.trust_of` for all at once."""
    clients = state.clients if state else ()
    columns = {"alpha": [c.alpha for c in clients], "beta": [c.beta for c in clients]}
    nights = {"nights": [c.rounds_seen for c in clients], "absences": [c.rounds_missed for c in clients]}
    known = TrustState(client=tuple(c.client for c in clients), **columns, **nights)
    return dict(zip(known.client, known.trust.tolist(), strict=True))


def _trust_rows(view: RoundView, registry: Registry, base: RoundState | None, state: RoundState | None) -> tuple[TrustRow, ...]:
    """One row a client of the cohort or counted: the least weight first, then by name."""
    organisation = {c.client_id: c.organisation for c in registry.clients}
    before, after = _reputation(base), _reputation(state)
    latest = state or base
    newest = {c.client: c for c in latest.clients} if latest else {}
    earlier = {c.client: c for c in base.clients if c.last_round == base.round} if base else {}
    counted = {c.client: c for c in view.counted}
    refused = {r.client for r in view.refused if r.made_for == view.round}
    barred = excluded_of(state, view.policy) if state is not None and view.policy is not None else {}
    rows = []
    for client in sorted(set(view.cohort) | set(counted)):
        known = newest.get(client)
        merged = known if state is not None and client in counted else None
        rows.append(
            TrustRow(
                client=client,
                organisation=organisation.get(client, ""),
                fate=_fate(view, client, counted.get(client), client in refused),
                before=before.get(client, PRIOR),
                after=after.get(client, PRIOR) if state is not None else None,
                weight=merged.weight if merged else None,
                agreement=merged.agreement if merged else None,
                weight_before=earlier[client].weight if client in earlier else None,
                rounds_seen=known.rounds_seen if known else 0,
                rounds_missed=known.rounds_missed if known else 0,
                barred=client in barred,
            )
        )
    return tuple(sorted(rows, key=lambda r: (2.0 if r.weight is None else r.weight, 0.0 if r.agreement is None else r.agreement, r.client)))


def _fate(view: RoundView, client: str, counted: CountedRow | None, refused: bool) -> Fate:
    if client in view.excluded:
        return Fate.EXCLUDED
    if counted is not None:
        return Fate.LATE if counted.late else Fate.COUNTED
    return Fate.REFUSED if refused else Fate.NOT_SEEN


def _with_model(view: RoundView, model: GlobalModel, before: GlobalModel | None) -> RoundView:
    names, hyper, about = model.vocabulary.names, model.hyperedges, model.evidence.hyperedges
    strongest = np.argsort(-np.abs(about.vote), kind="stable")[:KEPT_EDGES].tolist() if about is not None else []
    return replace(
        view,
        edges=edge_rows(model),
        edge_count=len(model.edges),
        hyperedges=tuple(
            HyperedgeRow(
                sources=tuple(names[s] for s in hyper.sources[int(hyper.offsets[i]) : int(hyper.offsets[i + 1])].tolist()),
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
        confounders=tuple((names[i], score) for i, score in zip(model.semantic.confounders, model.evidence.confounder_scores, strict=True)),
        suppressed=tuple(SuppressedRow(**row) for row in model.suppressed_rows()),
        few=tuple(names[i] for i in model.few.tolist()),
        change=change_between(before, model, keep=KEPT_EDGES),
        statement=model.statement,
        privacy=model.privacy,
    )
