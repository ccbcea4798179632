"""Check a verified header by the rules R-82 to R-88.

The rules are about sender and folder, addressee, round, clock, vocabulary, policy and sealing. The
round number decides before any clock does.

What it does not do: verify the signature, or look for a replay (`validator`).
"""

from datetime import timedelta

from hyperfed.crypto.envelope import Header
from hyperfed.crypto.sealing import NOT_SEALED
from hyperfed.errors import RefusedError
from hyperfed.validator.admission import RoundContext

__all__ = ["FROM_THE_FUTURE", "check_addressee", "check_header"]

FROM_THE_FUTURE = "in the future"
"""How the reason ends for which an update is refused that was created after now."""


def check_header(
    header: Header,
    context: RoundContext,
    *,
    client: str,
    made_for: int,
    vocabulary: bytes,
    policy_now: bytes,
    key: str,
) -> None:
    """Check a verified header by R-82 to R-88. Raises RefusedError.

    The object `key` lies in the folder of `client` for round `made_for`. `vocabulary` and
    `policy_now` are digests of the plan's vocabulary and policy.
    """
    plan = context.plan
    skew = timedelta(seconds=context.limits.clock_skew_s)
    if header.sender != client:
        raise RefusedError(
            f"{header.sender} wrote into the folder of {client}",
            subject=key,
            rule="R-82",
            remedy="Write into the client's own folder only",
        )
    check_addressee(header, plan.federation, key)
    if header.round != made_for:
        raise RefusedError(
            f"made for round {header.round}, found in the folder of round {made_for}",
            subject=key,
            rule="R-84",
            remedy="Submit again: an update belongs to one round",
        )
    if not plan.round - plan.policy.max_staleness <= made_for <= plan.round:
        raise RefusedError(
            f"made for round {made_for}; round {plan.round} takes updates up to "
            f"{plan.policy.max_staleness} rounds old",
            subject=key,
            rule="R-84",
            remedy="Submit for the open round",
        )
    if header.created > context.now + skew:
        raise RefusedError(
            f"created at {header.created.isoformat()}, {FROM_THE_FUTURE}",
            subject=key,
            rule="R-85",
            remedy="Set the client's clock",
        )
    if header.expires <= context.now - skew or header.expires <= header.created:
        raise RefusedError(
            f"expired at {header.expires.isoformat()}",
            subject=key,
            rule="R-85",
            remedy="Submit again; check the client's clock",
        )
    if header.vocabulary != vocabulary:
        raise RefusedError(
            f"vocabulary {header.vocabulary.hex()[:16] or 'none'}, the round's is "
            f"{vocabulary.hex()[:16]} (version {plan.vocabulary.version})",
            subject=key,
            rule="R-86",
            remedy="Pull the round's plan and submit again",
        )
    policy = context.policies.get(made_for, policy_now)
    if header.policy != policy:
        raise RefusedError(
            f"policy {header.policy.hex()[:16] or 'none'}, the round's is {policy.hex()[:16]}",
            subject=key,
            rule="R-87",
            remedy="Pull the round's plan and submit again",
        )
    if plan.policy.privacy == "local" and header.policy != policy_now:
        raise RefusedError(
            "late, and noised by another policy than the round's",
            subject=key,
            rule="R-87",
            remedy="Nothing to do: the next message is noised by the new one",
        )
    if plan.policy.sealed and header.encryption == NOT_SEALED:
        raise RefusedError(
            "the body is not sealed, and the policy wants it to be",
            subject=key,
            rule="R-88",
            remedy="Submit with `hyperfed submit`, which seals to the coordinator",
        )


def check_addressee(header: Header, federation: str, subject: str) -> None:
    """Check that a header is for this federation's coordinator (R-83). Raises RefusedError."""
    if header.federation != federation or header.audience != "coordinator":
        raise RefusedError(
            f"for {header.audience!r:.40} of federation {header.federation!r:.40}",
            subject=subject,
            rule="R-83",
            remedy=f"Address updates to the coordinator of federation {federation}",
        )
