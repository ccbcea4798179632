"""Check rules 4 and 5 of an audit: results.

The ledger and the result name each other. What a private result says of its privacy is what plan,
registry and ledger give.
"""

from dataclasses import replace

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator.private_sums import model_of_moments
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.dropbox.nights import night_of
from hyperfed.dropbox.reader import Stored
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.privacy_statement import PrivacyStatement
from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.privacy.policy import misstated
from hyperfed.privacy.release import noise_cut, opened_noise
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    Tombstone,
)

__all__ = ["audit_result"]


def audit_result(
    context: AuditContext,
    plan: Stored[Plan],
    frozen: Stored[Freeze] | None,
    lines: list[Chained],
    end: Chained | None,
) -> Stored[GlobalModel] | Stored[Tombstone] | None:
    """Check the result of a round, and return it.

    `lines` holds the round's ledger entries, and `end` is the one that ends it, or None.
    """
    r = plan.value.round
    key = Keys.result(r)
    result: Stored[GlobalModel] | Stored[Tombstone] | None = None
    with context.finding(key):
        result = context.reader.result(r)
        digest = result.digest if result else b""
        require(
            end is None or end.entry.result == digest,
            key,
            "is not the one the ledger names" if result else "is missing",
            "R-61",
        )
        if result is not None and isinstance(result.value, Tombstone):
            require(
                end is None or end.entry.kind is EntryKind.VOID,
                key,
                "is a tombstone, and the ledger commits it",
                "R-67",
            )
            context.checked["tombstones"] += 1
        elif result is not None:
            require(
                end is None or end.entry.kind is EntryKind.COMMIT,
                key,
                "can be read, and the ledger voids it",
                "R-67",
            )
            require(
                any(c.entry.kind is EntryKind.RESERVE for c in lines),
                key,
                "can be read, and nothing was reserved for it",
                "R-64",
            )
            require(
                frozen is not None and result.value.freeze == frozen.digest,
                key,
                "is not of the round's freeze",
                "R-66",
            )
            context.checked["results"] += 1
    if frozen is not None and result is not None and isinstance(result.value, GlobalModel):
        with context.finding(
            key, "" if plan.value.policy.privacy == "none" else "privacy statements"
        ):
            _stated(context, plan.value, frozen.value, result.value, lines)
    return result


def _stated(
    context: AuditContext, plan: Plan, freeze: Freeze, model: GlobalModel, lines: list[Chained]
) -> None:
    """Check what was reserved, and what the result says of its privacy (R-64).

    The reserve must be what plan and registry ask for, and the statement what plan, registry and
    ledger give.
    """
    night = night_of(context.reader, plan, freeze)
    key, statement = Keys.result(plan.round), model.privacy
    reserves = [c.entry for c in lines if c.entry.kind is EntryKind.RESERVE]
    if not reserves:
        return  # a result without a reserve is a finding of `audit_result`
    mechanisms = () if night is None else night.mechanisms
    require(
        reserves[-1].mechanisms == mechanisms,
        Keys.ledger(reserves[-1].sequence),
        "does not reserve what the plan spends",
        "R-64",
    )
    require(
        night is not None or statement is None,
        key,
        "claims a privacy that its plan does not ask for",
        "R-64",
    )
    if night is None:
        return
    if statement is None:
        context.broken(key, "says nothing of the privacy that its plan asks for", "R-64")
        return
    after = accountant_of(
        context.reader, context.ledger[: reserves[-1].sequence], version=freeze.registry_version
    )
    wrong = misstated(statement, plan.policy, night, vocabulary=plan.vocabulary, after=after)
    require(
        not wrong,
        key,
        f"states another {', '.join(wrong)} than plan, registry and ledger give",
        "R-64",
    )
    if plan.policy.privacy == "shares" and plan.policy.payload == "edges":
        counted = len(freeze.counted)
        std, slots = opened_noise(night, clients=counted), night.mechanism.numbers
        require(
            (statement.clients, statement.slots) == (counted, slots)
            and (statement.noise_std, statement.cut) == (std, noise_cut(std, slots)),
            key,
            "states another noise than the shares in its sum have",
            "R-202",
        )
    _audit_moments(context, plan, model, statement)
    require(
        model.statement == statement.sentences,
        key,
        "says in words what its fields do not say",
        "R-64",
    )


def _audit_moments(
    context: AuditContext, plan: Plan, model: GlobalModel, statement: PrivacyStatement
) -> None:
    """Check that a private model of statistics is what its noised sum gives (R-188).

    No key is needed: the sum stands in the model.
    """
    key = Keys.result(plan.round)
    if plan.policy.payload != "statistics":
        require(model.moments is None, key, "has moments that its plan does not ask for", "R-188")
        return
    if model.moments is None:
        context.broken(key, "has no noised sum", "R-188")
        return
    graph = model_of_moments(
        model.moments,
        policy=plan.policy,
        vocabulary=plan.vocabulary,
        clients=statement.clients,
        std=statement.noise_std,
    )
    same = GlobalModel.of(
        graph,
        federation=model.federation,
        round_id=model.round,
        time=model.time,
        freeze=model.freeze,
        clients=model.clients,
        policy=model.policy,
        vocabulary=model.vocabulary,
        privacy=statement,
        moments=model.moments,
        opened_by=model.opened_by,
        unchecked=model.unchecked,
    )
    codec = PayloadCodec(limits=context.limits)
    require(
        codec.encode(replace(same, statement=model.statement)) == codec.encode(model),
        key,
        "is not what its noised sum gives",
        "R-188",
    )
    context.checked["noised sums"] += 1
