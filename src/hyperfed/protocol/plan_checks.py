"""Check that a plan follows from its registry: the coordinator's online key may not change that.

1. Window and registry are those that the registry gives (R-52).
2. The policy is not below the floors that the roots sign (R-125). Whoever is about to act on a plan
   asks the newest registry, too: floors that were raised meanwhile hold at once for what is sent.
3. Helpers must be able to open its secure sums, and keep the round's keys until its `close_by`
   (R-168, R-198). Whoever helps or sends asks the newest registry, too: helpers whom the roots have
   replaced since, or fewer organisations together, open nothing more.
4. Cohort, organisations and domains are those of the registry, and the quorum lies within its
   bounds (R-126).

Everything here is a pure function of plan and registry. What a plan takes from the last committed
round, its baskets, is checked where that round can be read (`baskets_of`, R-102).
"""

from collections.abc import Collection, Sequence

from hyperfed.aggregation import build_rule
from hyperfed.errors import RoundError
from hyperfed.packets import PolicyPack
from hyperfed.protocol.baskets import Basket, BasketRules, next_baskets
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan
from hyperfed.registry.floors import below_floors
from hyperfed.registry.noise_shares import too_few_shares
from hyperfed.registry.registry import Registry
from hyperfed.registry.secure_sums import SecureSums

__all__ = [
    "baskets_of",
    "check_floors",
    "check_follows",
    "check_help_ends",
    "check_helpers",
    "check_helpers_stand",
    "domains_of",
    "least_quorum",
    "not_derived",
    "organisations_of",
]

TELL_ROOTS = "The coordinator's key may not change this: tell the registry's roots"


def organisations_of(registry: Registry) -> tuple[tuple[str, str], ...]:
    """Return (client, organisation) of every client that a registry names, ascending."""
    return tuple((c.client_id, c.organisation) for c in registry.clients)


def domains_of(registry: Registry, cohort: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the basket of each client of the cohort; none where all are of one basket."""
    baskets = {c.client_id: c.basket for c in registry.clients}
    named = tuple((client, baskets[client]) for client in cohort if client in baskets)
    return named if len({basket for _, basket in named}) > 1 else ()


def baskets_of(
    registry: Registry,
    policy: PolicyPack,
    cohort: Sequence[str],
    *,
    round_id: int,
    baskets: Sequence[Basket],
    counted: Collection[str] | None,
) -> tuple[Basket, ...]:
    """Return the baskets of a plan (R-102).

    `baskets` and `counted` are those of the last commit's round.
    """
    if not policy.basket_minimum:
        return ()
    assigned = {client: registry.client(client).basket for client in cohort}
    rules = BasketRules(minimum=policy.basket_minimum, maximum=policy.basket_maximum)
    return next_baskets(baskets, assigned, round_id=round_id, counted=counted, rules=rules)


def least_quorum(policy: PolicyPack) -> int:
    """Return the fewest clients that the policy's rule needs to bear its f (R-100)."""
    if policy.strategy != "consensus" or policy.basket_minimum:
        return 1
    return build_rule(policy.rule, f=policy.f).least()


def check_floors(policy: PolicyPack, registry: Registry, *, subject: str) -> None:
    """Raise RoundError where a policy is below the floors that the roots sign (R-125)."""
    below = below_floors(policy, registry.floors, minimum_support=registry.budget.minimum_support)
    if below:
        raise RoundError(
            f"is below the floors of registry version {registry.version}: {'; '.join(below)}",
            subject=subject,
            rule="R-125",
            remedy=f"Nothing was sent. {TELL_ROOTS}",
        )


def check_helpers(policy: PolicyPack, registry: Registry, round_id: int, *, subject: str) -> None:
    """Raise RoundError where a policy asks for secure sums that nobody could open (R-168)."""
    if policy.aggregation != "secure-sum":
        return
    rules, here = registry.secure_sums, set(registry.clients_in(round_id))
    helping = [] if rules is None else [h for h in rules.group.helpers if h in here]
    blocks = policy.privacy == "shares" or (rules is not None and bool(rules.blocks))
    if rules is None or not blocks or not rules.group.can_open(helping):
        raise RoundError(
            f"asks for secure sums, and registry version {registry.version} names "
            + ("no helpers" if rules is None or not helping else "no blocks, or too few helpers"),
            subject=subject,
            rule="R-168",
            remedy="Have the roots name them: `hyperfed registry helpers`",
        )
    if policy.privacy == "shares":
        _check_shares(policy, rules, registry, sorted(here), subject=subject)


def _check_shares(
    policy: PolicyPack,
    rules: SecureSums,
    registry: Registry,
    cohort: Sequence[str],
    *,
    subject: str,
) -> None:
    """Raise RoundError where no night of a cohort could have the shares it counts on (R-190)."""
    problem = too_few_shares(rules, registry.clients, cohort, least=policy.noise_shares)
    if policy.noise_shares < rules.least_shares:
        problem = (
            f"counts on {policy.noise_shares} shares of noise, and the roots' `together` is "
            f"{rules.least_shares}"
        )
    if problem:
        raise RoundError(
            problem,
            subject=subject,
            rule="R-190",
            remedy="Set noise_shares between the registry's `together` and what its cohort leaves; "
            "helpers' organisations and those that may collude leave none",
        )


def check_help_ends(plan: Plan, registry: Registry) -> None:
    """Raise RoundError where a round of secure sums outlasts its helpers' keys (R-198)."""
    ends = registry.help_ends(plan.round)
    if plan.policy.aggregation == "secure-sum" and plan.close_by > ends:
        raise RoundError(
            f"stays open until {plan.close_by.isoformat()}, and helpers erase its keys at "
            f"{ends.isoformat()}",
            subject=Keys.plan(plan.round),
            rule="R-198",
            remedy="Choose an earlier close_by. The roots may allow a later one: `hyperfed "
            "registry renew --close-windows`",
        )


def check_helpers_stand(plan: Plan, named: Registry, newest: Registry) -> None:
    """Raise RoundError where the roots have changed who opens a round's secure sums (R-168).

    named: the registry version that the plan names; a thief of the coordinator's key chooses it.
    """
    old, new = named.secure_sums, newest.secure_sums
    if plan.policy.aggregation != "secure-sum" or old is None or named.version == newest.version:
        return
    now = {} if new is None else _keys_of_helpers(newest, new, plan.round)
    changed = {
        "helpers or their keys": new is None or now != _keys_of_helpers(named, old, plan.round),
        "how many may collude": new is None or old.colluding_helpers != new.colluding_helpers,
        "how many are opened together": new is not None
        and (old.smallest < new.smallest or old.least_shares < new.least_shares),
    }
    if any(changed.values()):
        raise RoundError(
            f"names registry version {named.version}, and version {newest.version} has changed "
            + " and ".join(name for name, has in changed.items() if has),
            subject=Keys.plan(plan.round),
            rule="R-168",
            remedy="Nothing was sent or opened. The next round's plan names the newest registry",
        )


def _keys_of_helpers(registry: Registry, rules: SecureSums, round_id: int) -> dict[str, str]:
    """Return whose the helpers' keys are that are valid in a round, by key id."""
    helpers = rules.group.helpers
    keys = registry.signing_keys(round_id)
    return {key_id: name for key_id, (name, _) in keys.items() if name in helpers}


def check_follows(plan: Plan, registry: Registry, digest: bytes) -> None:
    """Raise RoundError where a plan does not follow from the registry version that it names.

    digest: the digest of that version.
    """
    subject, windows = Keys.plan(plan.round), registry.windows
    plan_fields = (plan.registry_digest, plan.opens, plan.deadline)
    if plan_fields != (digest, windows.opens(plan.round), windows.deadline(plan.round)):
        raise RoundError(
            f"does not follow from registry version {registry.version}",
            subject=subject,
            rule="R-52",
            remedy="The coordinator's key may not change windows or registry: tell the "
            "registry's roots",
        )
    check_floors(plan.policy, registry, subject=subject)
    check_helpers(plan.policy, registry, plan.round, subject=subject)
    derived = {
        "cohort": (plan.cohort, registry.clients_in(plan.round)),
        "organisations": (plan.organisations, organisations_of(registry)),
    }
    if plan.domains or registry.floors is not None:  # plans of schema version 1 had no domains
        derived["domains"] = (plan.domains, domains_of(registry, plan.cohort))
    wrong = [name for name, (stated, expected) in derived.items() if stated != expected]
    if wrong:
        raise not_derived(
            plan, f"has not the {' and '.join(wrong)} of registry version {registry.version}"
        )
    least = max(registry.budget.minimum_support, least_quorum(plan.policy))
    if plan.quorum < least:
        raise not_derived(
            plan, f"has a quorum of {plan.quorum}, and registry and policy ask for {least}"
        )


def not_derived(plan: Plan, problem: str) -> RoundError:
    """Return the error of a plan that says of clients what its registry does not say."""
    return RoundError(problem, subject=Keys.plan(plan.round), rule="R-126", remedy=TELL_ROOTS)
