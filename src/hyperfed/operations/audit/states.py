"""Check rules 4 and 6 of an audit: states.

The ledger and the state name each other. With keys that open the bodies, result and state are
computed again. Masked messages that are not sealed need no key: anybody adds them up, takes the
helpers' sums away, and finds the result in what is left (R-213).
"""

from dataclasses import replace

import numpy as np

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.reputation import next_states
from hyperfed.dropbox.nights import night_of
from hyperfed.dropbox.reader import Stored
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.merge.pooling import FORMULA
from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.operations.audit.judging import nothing_sealed, opening_key
from hyperfed.operations.audit.openings import can_open, open_again
from hyperfed.privacy.moments import is_noised_sum, is_noised_total
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
    Tombstone,
)
from hyperfed.protocol.sequences import signers_of

__all__ = ["audit_state"]


def audit_state(
    context: AuditContext,
    plan: Plan,
    frozen: Stored[Freeze] | None,
    result: Stored[GlobalModel] | Stored[Tombstone] | None,
    end: Chained | None,
) -> None:
    """Check the state of a round. That of a committed one is what later rounds are compared with.

    `end` is the ledger entry that ends the round, or None.
    """
    r = plan.round
    key, state = Keys.state(r), None
    committed = end is not None and end.entry.kind is EntryKind.COMMIT
    with context.finding(key):
        state = context.reader.state(r)
        require(state is not None or not committed, key, "is missing", "R-67")
        named = end.entry.state if end is not None and committed else None
        is_named = state is None or named is None or state.digest == named
        require(is_named, key, "is not the one the ledger names", "R-67")
        if state is not None:
            binds = (state.value.freeze, state.value.result) == (
                frozen.digest if frozen else b"",
                result.digest if result else b"",
            )
            require(binds, key, "is of another freeze or result", "R-67")
            context.checked["states"] += 1
    if (
        state is None
        or frozen is None
        or result is None
        or not isinstance(result.value, GlobalModel)
    ):
        return
    masked = plan.policy.aggregation == "secure-sum"
    if context.key_pair is not None or masked:
        answers = can_open(context, plan)
        readable = opening_key(context, plan, frozen.value) is not None or (
            masked and nothing_sealed(context, frozen.value)
        )
        if answers and readable:
            _recompute(context, plan, frozen, result.value, state)
        elif context.key_pair is None:
            context.sealed_sums += answers  # sealed answers have a remark of their own
        else:
            context.remarks.append(
                f"round {r} was sealed to other keys than {context.key_pair.key_id}: its result "
                "and state were not computed again"
            )
    if committed:
        context.history.states[r], context.history.models[r] = state, result.value
        context.history.formula = max(context.history.formula, frozen.value.formula)


def _recompute(
    context: AuditContext,
    plan: Plan,
    frozen: Stored[Freeze],
    model: GlobalModel,
    state: Stored[RoundState],
) -> None:
    """Compute result and state again.

    Numbers that differ are findings, or a remark where the freeze names another formula.
    """
    formula, before = frozen.value.formula, len(context.findings)
    _compute_again(context, plan, frozen, model, state)
    if formula != FORMULA and len(context.findings) > before:
        others = " and ".join(finding.key for finding in context.findings[before:])
        del context.findings[before:]
        context.remarks.append(
            f"round {plan.round} was frozen under formula {formula}, and this version "
            f"computes formula {FORMULA}, which gives other numbers than {others}: "
            "digests, chain and signatures were verified, these numbers were not computed "
            "again (R-66)"
        )


def _compute_again(
    context: AuditContext,
    plan: Plan,
    frozen: Stored[Freeze],
    model: GlobalModel,
    state: Stored[RoundState],
) -> None:
    codec, noised = PayloadCodec(limits=context.limits), plan.policy.privacy != "none"
    coordinator = None
    models = [
        context.history.models[r]
        for r in sorted(context.history.models, reverse=True)
        if r <= frozen.value.base_round
    ]
    with context.finding(Keys.result(plan.round), "" if noised else "results recomputed"):
        coordinator = context.sets.coordinator(plan, frozen, models=lambda: models)
        if plan.policy.aggregation == "secure-sum":
            stored = context.reader.plan(plan.round)
            if stored is not None:
                open_again(context, stored, frozen, model, coordinator)
        if noised:
            coordinator.weigh()
            _audit_noise(context, plan, frozen.value, model, coordinator)
        else:
            same = codec.encode(coordinator.aggregate()) == codec.encode(model)
            require(same, Keys.result(plan.round), "is not what the frozen updates give", "R-66")
    if coordinator is None or coordinator.reconciliation is None:
        return
    with context.finding(state.key, "states recomputed"):
        base = context.history.states.get(frozen.value.base_round)
        clients = next_states(
            base.value if base else None,
            frozen.value,
            plan=plan,
            reconciliation=coordinator.reconciliation,
            graphs=dict(zip(coordinator.clients, coordinator.graphs(), strict=True)),
            last_models=models,
            accuracy=None if coordinator.elsewhere is None else coordinator.elsewhere.accuracies(),
            signers=signers_of(
                frozen.value, context.reader.registry_at(frozen.value.registry_version)
            ),
        )
        require(
            clients == state.value.clients,
            state.key,
            "is not what freeze and base state give",
            "R-67",
        )


def _release_of(model: GlobalModel, context: AuditContext) -> tuple[object, ...]:
    """Return what a model releases: all of it but charges, which the audit checks without keys."""
    said = model.privacy
    plain = replace(model, privacy=None, statement="")
    noise = None if said is None else (said.slots, said.clients, said.noise_std, said.cut)
    return PayloadCodec(limits=context.limits).encode(plain), noise


def _audit_noise(
    context: AuditContext,
    plan: Plan,
    frozen: Freeze,
    model: GlobalModel,
    coordinator: FederationCoordinator,
) -> None:
    """Check the noised sum of a private round by the frozen updates (R-189, R-202).

    What helpers have opened gives the whole model again where clients have noised it, and otherwise
    the exact sum. Means of effects with central noise cannot be computed again without theirs.
    """
    night = night_of(context.reader, plan, frozen)
    if night is None or (model.moments is None and coordinator.opened is None):
        return
    opened = coordinator.opened
    if opened is not None and model.moments is not None and plan.policy.privacy == "central":
        rows, steps = int(opened.total[0]), opened.total[1:].view(np.int64)
        same = is_noised_total(model.moments, steps, night, rows=rows)
        same = same and model.unchecked == opened.unchecked
    elif opened is not None:
        again = coordinator.aggregate()
        same = _release_of(again, context) == _release_of(model, context)
    elif model.moments is not None:
        updates = coordinator.updates.items()
        sums = {client: one.statistics for client, one in updates if one.statistics}
        same = is_noised_sum(model.moments, sums, night)
    require(
        same,
        Keys.result(plan.round),
        "has a sum that is not that of the frozen updates and the noise it states",
        "R-189",
    )
    context.checked["noise compared"] += 1
