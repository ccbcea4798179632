"""Assemble the rows of clients: what became of each in a round, its weight, and its trust."""

from collections.abc import Collection, Sequence

from hyperfed.coordinator.reputation import excluded_of
from hyperfed.packets import PolicyPack
from hyperfed.protocol.objects import (
    RoundState,
)
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.registry.registry import Registry
from hyperfed.report.rows import (
    CountedRow,
    RefusedRow,
    TrustRow,
)
from hyperfed.trust_scorer import PRIOR, TrustState

__all__ = ["trust_rows"]


def _reputation(state: RoundState | None) -> dict[str, float]:
    """Return the trust of each client, as `coordinator.reputation.trust_of` does for one."""
    clients = state.clients if state else ()
    columns = {"alpha": [c.alpha for c in clients], "beta": [c.beta for c in clients]}
    nights = {
        "nights": [c.rounds_seen for c in clients],
        "absences": [c.rounds_missed for c in clients],
    }
    trust_state = TrustState(client=tuple(c.client for c in clients), **columns, **nights)
    return dict(zip(trust_state.client, trust_state.trust.tolist(), strict=True))


def trust_rows(
    *,
    round_id: int,
    policy: PolicyPack | None,
    cohort: Sequence[str],
    counted_rows: Sequence[CountedRow],
    refused_rows: Sequence[RefusedRow],
    excluded: Collection[str],
    registry: Registry,
    base: RoundState | None,
    state: RoundState | None,
) -> tuple[TrustRow, ...]:
    """Return one row for each client that was invited or counted.

    The rows ascend by weight, then by agreement, then by name; clients without a weight come last.
    `base` is the state of the committed round before, and `state` that of the round itself, or
    None where it has none.
    """
    organisation = {c.client_id: c.organisation for c in registry.clients}
    before, after = _reputation(base), _reputation(state)
    latest = state or base
    newest = {c.client: c for c in latest.clients} if latest else {}
    earlier = {c.client: c for c in base.clients if c.last_round == base.round} if base else {}
    counted = {c.client: c for c in counted_rows}
    refused = {r.client for r in refused_rows if r.made_for == round_id}
    barred = excluded_of(state, policy) if state is not None and policy is not None else {}
    rows = []
    for client in sorted(set(cohort) | set(counted)):
        client_state = newest.get(client)
        merged = client_state if state is not None and client in counted else None
        rows.append(
            TrustRow(
                client=client,
                organisation=organisation.get(client, ""),
                fate=_fate(
                    counted.get(client), refused=client in refused, excluded=client in excluded
                ),
                before=before.get(client, PRIOR),
                after=after.get(client, PRIOR) if state is not None else None,
                weight=merged.weight if merged else None,
                agreement=merged.agreement if merged else None,
                weight_before=earlier[client].weight if client in earlier else None,
                rounds_seen=client_state.rounds_seen if client_state else 0,
                rounds_missed=client_state.rounds_missed if client_state else 0,
                barred=client in barred,
            )
        )
    return tuple(
        sorted(
            rows,
            key=lambda r: (
                2.0 if r.weight is None else r.weight,
                0.0 if r.agreement is None else r.agreement,
                r.client,
            ),
        )
    )


def _fate(counted: CountedRow | None, *, refused: bool, excluded: bool) -> Fate:
    if excluded:
        return Fate.EXCLUDED
    if counted is not None:
        return Fate.LATE if counted.late else Fate.COUNTED
    return Fate.REFUSED if refused else Fate.NOT_SEEN
