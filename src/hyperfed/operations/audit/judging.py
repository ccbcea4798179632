"""Judge again what a freeze counts: an update that is not admissible must not count (R-154).

1. Every counted update is held to the rules of admission (R-80 to R-99) by the registry, the plans
   and the base state that its freeze names. Without a key that opens bodies it is held to those
   about its header.
2. Where a clock decides, it is judged as of the freeze. A coordinator that froze an hour after it
   had judged is not blamed for what expired meanwhile.
3. Only the coordinator whose key froze the round can say that a body did not open: a client may
   seal one thing to one key, and another to another.
4. Where a freeze names another formula than today's, the rules may have been different, and nothing
   is judged again.

What it does not do: look at what was refused or left out (`inbox`).
"""

from collections.abc import Callable
from datetime import timedelta

from hyperfed.crypto.envelope import Header, Signed, open_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import NOT_SEALED
from hyperfed.dropbox.reader import Stored
from hyperfed.errors import PacketError, RoundError
from hyperfed.merge.pooling import FORMULA
from hyperfed.operations.audit.context import AuditContext
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Counted, Freeze, Plan
from hyperfed.protocol.sequences import highest_by_key
from hyperfed.validator.admission import RoundContext
from hyperfed.validator.validator import PacketValidator

__all__ = ["SEALING", "judge_of", "nothing_sealed", "opening_key", "validator_of"]

SEALING = {"R-40", "R-41", "R-42"}
"""The rules of sealed bodies, which depend on whose key opens them."""

Judge = Callable[[Counted, Signed, bytes, str], None]


def opening_key(context: AuditContext, plan: Plan, freeze: Freeze) -> KeyPair | None:
    """Return the audit's key where it opens every body that a freeze counts, and None otherwise.

    A key that was registered after a round, such as a new coordinator's, opens none of its updates.
    """
    key_pair = context.key_pair
    if key_pair is None or not plan.policy.sealed:
        return key_pair
    registry = context.reader.registry_at(plan.registry_version)
    opens = all(
        key_pair.key_id in {k.key_id for k in registry.sealing_keys(c.made_for)}
        for c in freeze.counted
    )
    return key_pair if opens else None


def nothing_sealed(context: AuditContext, freeze: Freeze) -> bool:
    """Return whether anybody can read the body of every update that a freeze counts."""
    try:
        return all(
            not isinstance(one, RoundError)
            and Header.from_bytes(open_envelope(one, subject=key).header_bytes).encryption
            == NOT_SEALED
            for _, key, one in context.sets.accepted.read(freeze, freeze.counted)
        )
    except PacketError:
        return False


def validator_of(
    context: AuditContext,
    plan: Plan,
    freeze: Freeze,
    *,
    key_pair: KeyPair | None,
    replays: bool = True,
) -> PacketValidator | None:
    """Return a validator that judges as the freeze's coordinator did, at the freeze's time.

    replays: whether it refuses a sequence that the base state has counted (R-89). None where the
    base state that it needs is missing, which is a finding already.
    """
    base = context.history.states.get(freeze.base_round)
    if freeze.base_round and base is None:
        return None
    rounds = range(max(1, plan.round - plan.policy.max_staleness), plan.round + 1)
    plans = {r: context.reader.plan(r, or_none=True) for r in rounds}
    registry = context.reader.registry_at(freeze.registry_version)
    return PacketValidator(
        context=RoundContext(
            registry=registry,
            plan=plan,
            now=freeze.time,
            policies={r: policy_digest(p.value.policy) for r, p in plans.items() if p is not None},
            highest=highest_by_key(base.value if base else None, registry) if replays else {},
            key_pair=key_pair,
            base_of=lambda client, digest: context.sets.base_update(
                base.value if base else None, client, digest
            ),
            limits=context.limits,
        )
    )


def judge_of(context: AuditContext, plan: Plan, frozen: Stored[Freeze]) -> Judge | None:
    """Return a function that judges (counted, its verified header, envelope, key) again.

    It raises RoundError for an update that must not count. None where nothing can be judged.
    """
    freeze = frozen.value
    key_pair = opening_key(context, plan, freeze)
    if freeze.formula != FORMULA:
        return None
    # that no sequence falls is a check of the freeze itself
    validator = validator_of(context, plan, freeze, key_pair=key_pair, replays=False)
    if validator is None:
        return None
    froze = key_pair is not None and key_pair.key_id == frozen.signed.header.key_id
    skew = timedelta(seconds=context.limits.clock_skew_s)

    def judge(counted: Counted, signed: Signed, data: bytes, key: str) -> None:
        header = signed.header
        try:
            if key_pair is None and header.encryption != NOT_SEALED:
                validator.authenticate(data, key=counted.key)
            else:
                validator.verify(data, key=counted.key)
        except PacketError as error:
            may_have_expired_since = (
                error.rule == "R-85"
                and header.created <= freeze.time + skew
                and header.expires > max(plan.opens, header.created)
            )
            sealed_to_others = error.rule in SEALING and not froze
            # a base that was there then may be gone now
            if not (may_have_expired_since or sealed_to_others or error.rule == "R-97"):
                raise RoundError(
                    f"holds {counted.client}'s update, which {Keys.freeze(freeze.round)} counts "
                    f"though it breaks {error.rule} ({error.problem})",
                    subject=key,
                    rule="R-154",
                    remedy=(
                        "Compare with the other members, and tell the registry's roots: the "
                        "coordinator has counted what no honest one counts"
                    ),
                ) from error
            return
        context.checked["updates judged again"] += 1

    return judge
