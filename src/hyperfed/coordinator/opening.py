"""Open a round: create and sign its plan, or adopt the one that is there (step 0).

1. Before the first object of a round is written the store proves that it honours create-only
   writes (R-1).
2. A plan is signed: what it says can be repeated but not overridden (R-52).
3. An operator states what a plan will say as `RoundTerms`, in a block on a Prefect server or in a
   hyperfed.toml.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hyperfed.coordinator.signed_writes import SignedWrites
from hyperfed.coordinator.timing import check_not_far_ahead
from hyperfed.dropbox.budgets import accountant_of, budget_in_force
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.engines.knowledge import knowledge_of
from hyperfed.engines.summed.versions import sums_policy_of
from hyperfed.errors import ConfigError, RegistryError, RoundPassed, TransientError
from hyperfed.packets import PolicyPack
from hyperfed.packets.policy import DEFAULT_LAGS
from hyperfed.privacy.policy import check_private_plan
from hyperfed.protocol.documents import make_plan
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.machine import WriteOutcome
from hyperfed.protocol.objects import (
    Plan,
)
from hyperfed.storage.clock import check_clock
from hyperfed.storage.probe import probe
from hyperfed.tables.vocabulary import Variable, Vocabulary

if TYPE_CHECKING:
    from hyperfed.coordinator.runner import RoundRunner

__all__ = ["RoundTerms", "check_overrides", "open_checked", "open_plan", "overridden"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTerms:
    """Holds the terms that new plans state.

    A plan that exists is never changed by them.
    """

    policy: PolicyPack = field(default_factory=PolicyPack)
    """What clients share and how it is merged."""
    vocabulary: Vocabulary = field(default_factory=Vocabulary.of)
    """The variables that the rounds speak about; a round that is not open yet needs some."""
    quorum: int | None = None
    """How many clients must be counted; None: more than half of the cohort."""

    @classmethod
    def of(
        cls,
        *,
        variables: Sequence[str],
        domains: Sequence[str] = (),
        units: Mapping[str, str] | None = None,
        ranges: Mapping[str, Sequence[float | None]] | None = None,
        vocabulary_version: int = 1,
        quorum: int | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> "RoundTerms":
        """Return the terms that an operator wrote down.

        domains: the variables' domains, one each; empty: none. units: the unit of a variable, by
        name; ranges: its smallest and its largest plausible value, None or endless for no bound.
        policy: fields of the policy pack that differ from its defaults. Where it names no lags they
        are `DEFAULT_LAGS`, or 1 to max_lag where it says that alone; with no lags at all,
        `lags = []`, each client chooses. Its knowledge is a `Knowledge`, its lists by name, or a
        file that holds them (`engines.knowledge`). Its statistics are a `SumsPolicy` or its fields
        by name; the library and version that its engine runs in are filled in.
        Raises BoundsError for a value or for names that repeat, ConfigError where the domains are
        not one each, a unit is of no variable, or the policy pack has no such field.
        """
        if domains and len(domains) != len(variables):
            raise ConfigError(
                f"{len(domains)} domains for {len(variables)} variables",
                subject="vocabulary",
                remedy="Give one domain for each variable, in the same order, or none at all",
            )
        units, ranges = units or {}, ranges or {}
        _check_told(variables, units, ranges)
        entries = tuple(
            Variable(name, domain, units.get(name, ""), *_ends(ranges.get(name, (None, None))))
            for name, domain in zip(variables, domains or [""] * len(variables), strict=True)
        )
        vocabulary = Vocabulary(entries, vocabulary_version)
        fields = _with_lags(policy or {})
        if "statistics" in fields or fields.get("payload", "edges") != "edges":
            fields["statistics"] = sums_policy_of(fields.get("statistics") or {})
        if "knowledge" in fields:
            fields["knowledge"] = knowledge_of(fields["knowledge"])
            if variables:  # a round that is open needs none
                fields["knowledge"].check_known(vocabulary)
        return cls(
            policy=overridden(PolicyPack(), fields),
            vocabulary=vocabulary,
            quorum=quorum,
        )


def _check_told(
    variables: Sequence[str],
    units: Mapping[str, str],
    ranges: Mapping[str, Sequence[float | None]],
) -> None:
    """Raise ConfigError for a unit or a range of what is no variable, or a range that is none."""
    for name in (*units, *ranges):
        if name not in variables:
            raise ConfigError(
                f"has a unit or a range for {name!r:.80}, which is no variable",
                subject="vocabulary",
                remedy=f"Name variables among {', '.join(variables[:12])}",
            )
    for name, ends in ranges.items():
        if len(ends) != 2:
            raise ConfigError(
                f"the plausible range of {name!r:.80} has {len(ends)} numbers",
                subject="vocabulary",
                remedy="Give the smallest and the largest",
            )


def _ends(ends: Sequence[float | None]) -> list[float | None]:
    """Return the ends of a range, None where one is endless."""
    return [None if end is None or math.isinf(end) else end for end in ends]


def _with_lags(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a policy with the lags that its plans name.

    What clients choose for themselves cannot be merged, so new plans name the lags.
    """
    longest = policy.get("max_lag")
    lags: tuple[int, ...] = DEFAULT_LAGS
    if isinstance(longest, int):  # anything else is refused by the policy pack
        lags = tuple(range(min(1, longest), longest + 1))
    return {"lags": lags, **policy}


def open_plan(
    writes: SignedWrites,
    round_id: int,
    *,
    policy: PolicyPack,
    vocabulary: Vocabulary,
    quorum: int | None = None,
    close_by: datetime | None = None,
) -> Stored[Plan]:
    """Create the round's plan, or adopt the one that is there, and return it.

    quorum: how many clients must be counted; None: more than half of the cohort. close_by: until
    when a failed round may be retried; None: the next round's deadline.

    Raises RegistryError where the registry has expired (R-122).
    Raises RoundError where the round has not begun, RoundPassed where a later one stands in the
    ledger, ConfigError where the vocabulary is empty or the clock is far off (R-117). Raises
    PrivacyError where the budget does not cover a private round, TransientError where the write was
    lost.
    """
    reader = writes.reader
    if reader.now is not None:
        reader.registry.windows.check_begun(round_id, reader.now)
    reader.check_fresh()
    stored_plan = reader.plan(round_id)
    if stored_plan is not None:
        return stored_plan
    check_told(vocabulary, round_id)
    entries = reader.ledger()
    if reader.now is not None:
        check_not_far_ahead(reader.registry, entries, reader.now, limits=reader.limits)
    later = [c.entry.round for c in entries if c.entry.round > round_id]
    if later:
        raise RoundPassed(
            f"cannot be opened any more: round {later[0]} stands in the ledger",
            subject=f"round {round_id}",
            rule="R-60",
            remedy="Let clients that missed it submit for the next one: rounds finish in order",
        )
    if policy.privacy != "none":
        # what stands there for this round already, nobody has asked for yet
        others = [c for c in entries if (c.original or c.entry).round != round_id]
        accountant, budget = accountant_of(reader, others), budget_in_force(reader, others)
        check_private_plan(policy, vocabulary, accountant, budget)
    commits = [c for c in entries if c.entry.kind is EntryKind.COMMIT]
    newest = commits[-1] if commits else None
    _, write = make_plan(
        registry=reader.registry,
        registry_digest=reader.registry_digest,
        round_id=round_id,
        policy=policy,
        vocabulary=vocabulary,
        quorum=quorum,
        newest_commit=newest,
        key_pair=writes.key_pair,
        close_by=close_by,
        **_last_baskets(reader, newest.entry.round if newest and policy.basket_minimum else 0),
    )
    outcome = writes.create(write, round_id)
    plan = reader.plan(round_id)
    if plan is None:
        lost = "its write was lost" if outcome is WriteOutcome.UNKNOWN else "is gone"
        raise TransientError(lost, subject=write.key, remedy="Open the round again")
    return plan


def check_told(vocabulary: Vocabulary, round_id: int) -> None:
    """Raise ConfigError for a vocabulary without variables, in which nobody can say anything."""
    if not len(vocabulary):
        raise ConfigError(
            "names no variables, and a plan is signed once for all",
            subject=f"plan of round {round_id}",
            remedy="Give the Federation Policy block, or [rounds] in hyperfed.toml, its variables. "
            "Nothing was signed",
        )


def _last_baskets(reader: DropBoxReader, round_id: int) -> dict[str, Any]:
    """Return the baskets of a committed round's plan and whom it counted, for the next plan."""
    if not round_id:
        return {}
    plan, frozen = reader.plan(round_id), reader.freeze(round_id)
    if plan is None or frozen is None:
        return {}
    counted = [c.client for c in frozen.value.counted]
    return {"baskets": plan.value.baskets, "counted": counted}


def open_checked(
    runner: "RoundRunner",
    number: int,
    terms: RoundTerms,
    *,
    overrides: Mapping[str, Any] | None = None,
    rehearse: bool = False,
) -> Plan:
    """Create or adopt a round's plan on a store that has proved itself, and return it.

    terms: what a new plan says; one that is there stays as it is. overrides: fields of the policy
    pack for this round only. rehearse: whether the run is a rehearsal, whose store keeps in memory
    what is written (`storage.rehearsal`). Key and clock are checked as in the real run, so that it
    promises nothing that would be refused; only the store is not tried, for that writes to it.

    Raises ConfigError for a key that is not the coordinator's, where the clocks differ by more than
    the federation tolerates, and for an override that names no field or that the signed plan
    contradicts, StoreUnsuitable where the store does not honour create-only writes,
    BoundsError for a value out of its bounds, and what `open_plan` raises.
    """
    pack = overridden(terms.policy, overrides)
    check_clock(runner.store, most_s=runner.reader.limits.clock_skew_s)
    if runner.reader.plan(number) is None:
        check_told(terms.vocabulary, number)
        try:
            runner.handlers.writes.check_key(number)  # a stranger's key leaves nothing behind
        except RegistryError as exc:
            raise ConfigError(
                exc.problem, subject=exc.subject, rule=exc.rule, remedy=exc.remedy
            ) from exc
        if not rehearse:
            probe(runner.store)
    plan = runner.open_round(
        number, policy=pack, vocabulary=terms.vocabulary, quorum=terms.quorum
    ).value
    check_overrides(plan, overrides)
    return plan


def overridden(pack: PolicyPack, overrides: Mapping[str, Any] | None) -> PolicyPack:
    """Return a policy with overrides. Raises ConfigError for one that names no field."""
    unknown = [name for name in overrides or {} if name not in PolicyPack.__dataclass_fields__]
    if unknown:
        raise ConfigError(
            "is no field of the policy pack",
            subject=", ".join(map(str, unknown))[:120],
            remedy=f"Name one of {', '.join(PolicyPack.__dataclass_fields__)}",
        )
    return replace(pack, **(overrides or {}))


def check_overrides(plan: Plan, overrides: Mapping[str, Any] | None) -> None:
    """Raise ConfigError where an override contradicts a signed plan."""
    for name, value in (overrides or {}).items():
        signed = getattr(plan.policy, name)
        if signed != getattr(replace(plan.policy, **{name: value}), name):
            raise ConfigError(
                f"{name} is {signed!r} in the signed plan, not {value!r:.60}",
                subject=f"round {plan.round}",
                rule="R-52",
                remedy="Clients have submitted under that plan. Override the policy of a round "
                "that is not open yet, or change the Federation Policy block",
            )
