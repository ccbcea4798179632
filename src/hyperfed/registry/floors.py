"""Bound every plan by what the roots sign, so that no online key goes below it (R-125).

1. Where noise is added has a floor: "none", then "central", then "local", which trusts fewest.
2. Where bodies must be sealed, no plan may ask for open ones.
3. Cut, trust and the organisations' cap have bounds. They hold in rounds without privacy only: a
   noised round cuts by its noise and weighs nobody by trust.
4. A minimum support above 1 forbids plans that show single clients, with floors or without.
5. A registry without floors bounds nothing else, as it did before floors existed.

What it does not do: it does not check the rest of a plan (`protocol.plan_checks`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hyperfed.errors import BoundsError
from hyperfed.packets.fields import index, keep_checked, number
from hyperfed.packets.policy import PRIVACY, PolicyPack

__all__ = ["Floors", "below_floors"]

_BY_VOTE = ("consensus", "mean", "weighted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """Holds the bounds of every plan's policy.

    Raises BoundsError where they contradict each other.
    """

    privacy: str = "none"
    """The least that a plan asks for: "none", "central" or "local" noise."""
    sealed: bool = True
    """Whether every plan must ask for sealed bodies."""
    vote_min: float = 0.0
    """Smallest `vote_min` of a plan that cuts by votes, in [0, 1]. Above 0, no plan keeps edges
    whatever their vote, as the strategies "union" and "intersection" do.
    """
    fdr_max: float = 1.0
    """Largest `fdr_max` of a plan whose cut is "fdr", in (0, 1]."""
    trust_min_least: float = 0.0
    """Smallest `trust_min` of a plan, in [0, 1]."""
    trust_min_most: float = 1.0
    """Largest `trust_min` of a plan: above it nobody is left out. Not below `trust_min_least`."""
    trust_nights: int = 0
    """Smallest `trust_nights` of a plan."""
    organisation_cap: float = 0.0
    """Largest `organisation_cap` of a plan, which then must have one; 0: none is asked for."""

    def __post_init__(self) -> None:
        kind = "floors"
        if self.privacy not in PRIVACY or type(self.sealed) is not bool:
            raise BoundsError(
                f"privacy is {self.privacy!r:.40}, sealed {self.sealed!r:.40}; "
                f"{', '.join(PRIVACY)}, and true or false, are known",
                subject=kind,
            )
        for name, low, high in (
            ("vote_min", 0, 1),
            ("fdr_max", 1e-9, 1),
            ("trust_min_least", 0, 1),
            ("trust_min_most", 0, 1),
            ("organisation_cap", 0, 1e9),
        ):
            keep_checked(self, **{name: number(kind, name, getattr(self, name), low, high)})
        keep_checked(self, trust_nights=index(kind, "trust_nights", self.trust_nights, 367))
        if self.trust_min_least > self.trust_min_most:
            raise BoundsError(
                f"trust_min is at least {self.trust_min_least:g} and at most "
                f"{self.trust_min_most:g}: no plan can be",
                subject=kind,
            )
        if (self.vote_min > 0) != (self.fdr_max < 1):
            raise BoundsError(
                f"vote_min is {self.vote_min:g} and fdr_max {self.fdr_max:g}: one without the "
                "other bounds nothing, because a plan chooses by which of them it cuts",
                subject=kind,
                remedy="Bound both, or neither",
            )


def below_floors(
    policy: PolicyPack, floors: Floors | None, *, minimum_support: int = 1
) -> list[str]:
    """Return in words where a policy is below the floors; empty where it is not.

    minimum_support: the registry's, which a plan that shows single clients would go below.
    """
    below = [] if floors is None else list(_below(policy, floors))
    if policy.show_clients and minimum_support > 1:
        below.append(
            f"single clients are shown, and {minimum_support} clients are to stand behind "
            "everything that is released"
        )
    return below


def _below(policy: PolicyPack, floors: Floors) -> Iterator[str]:
    if PRIVACY.index(policy.privacy) < PRIVACY.index(floors.privacy):
        yield f'privacy is "{policy.privacy}", and at least "{floors.privacy}" is asked for'
    if floors.sealed and not policy.sealed:
        yield "bodies are not sealed"
    if policy.privacy != "none":
        return
    if floors.vote_min > 0 and policy.strategy not in _BY_VOTE:
        yield f"strategy {policy.strategy!r} keeps edges whatever their vote"
    if policy.cut == "vote" and policy.vote_min < floors.vote_min:
        yield f"vote_min is {policy.vote_min:g}, and at least {floors.vote_min:g} is asked for"
    if policy.cut == "fdr" and policy.fdr_max > floors.fdr_max:
        yield f"fdr_max is {policy.fdr_max:g}, and at most {floors.fdr_max:g} is asked for"
    if not floors.trust_min_least <= policy.trust_min <= floors.trust_min_most:
        yield (
            f"trust_min is {policy.trust_min:g}, and it lies between {floors.trust_min_least:g} "
            f"and {floors.trust_min_most:g}"
        )
    if policy.trust_nights < floors.trust_nights:
        yield (
            f"trust_nights is {policy.trust_nights}, and at least {floors.trust_nights} "
            "are asked for"
        )
    if floors.organisation_cap and not 0 < policy.organisation_cap <= floors.organisation_cap:
        yield (
            f"organisation_cap is {policy.organisation_cap:g}, and a cap of at most "
            f"{floors.organisation_cap:g} is asked for"
        )
