"""Follow the baskets: groups of clients of one domain, merged on their own, then together.

1. A basket goes forming -> active -> stale -> disbanded. It is forming below `minimum` members, and
   active from there on. It is stale where for `stale_after` committed rounds in a row fewer than
   `minimum` of its members were counted, and active again once they are. It is disbanded after
   `disband_after` such rounds, or without members. A disbanded basket stays so: its clients are in
   the common group until the registry names another basket for them.
2. A basket above `maximum` is split into equal parts "name/1", "name/2", ... by the digest of the
   client ids, so that nobody chooses whom to be with.
3. R-102: groups are part of the signed plan. Everyone sees the same ones, and a client that the
   registry moves is in its new basket from the next plan on.
4. Clients of baskets that are neither active nor stale are merged together in the common group ""
   under the same minimum.

The baskets are a pure function of the last plan's baskets, the cohort, the registry and which
clients were counted.

What it does not do: merge (`layers`).
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hyperfed.errors import BoundsError

__all__ = ["COMMON", "Basket", "BasketPhase", "BasketRules", "groups_of", "next_baskets"]

COMMON = ""
"""Name of the group of all clients whose basket is neither active nor stale."""


class BasketPhase(StrEnum):
    """Names the phase of a basket (rule 1 of the module)."""

    FORMING = "forming"
    ACTIVE = "active"
    STALE = "stale"
    DISBANDED = "disbanded"


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketRules:
    """Bounds the size of baskets, and says after how many quiet rounds a basket ends.

    A round is quiet for a basket where fewer than `minimum` of its members were counted. Raises
    BoundsError where a basket that is split would leave parts below the minimum, or where the
    numbers of rounds do not ascend.
    """

    minimum: int = 3
    """Smallest number of members of an active basket, and of counted members in a round."""
    maximum: int = 1000
    """Largest number of members. It is at least 2 * minimum - 1."""
    stale_after: int = 3
    """Quiet committed rounds in a row after which a basket is stale."""
    disband_after: int = 14
    """Quiet committed rounds in a row after which a basket is disbanded."""

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum or self.maximum < 2 * self.minimum - 1:
            problem = (
                f"minimum {self.minimum}, maximum {self.maximum}: a basket that is split "
                "must leave parts of the minimum size"
            )
            raise BoundsError(
                problem,
                subject="baskets",
                remedy="State a maximum of at least twice the minimum less one",
            )
        if not 1 <= self.stale_after < self.disband_after:
            raise BoundsError(
                f"stale after {self.stale_after} rounds, disbanded after {self.disband_after}",
                subject="baskets",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Basket:
    """Holds one basket of a plan.

    Raises BoundsError where a field is out of range.
    """

    name: str
    """A printable name of 1 to 80 characters; a part of a split basket ends in "/1", "/2", ..."""
    members: tuple[str, ...]
    """Client ids, ascending, each once."""
    phase: BasketPhase = BasketPhase.FORMING
    """The basket's phase."""
    since: int = 0
    """The round from whose plan on the basket has this phase."""
    quiet: int = 0
    """Committed rounds in a row in which too few of its members were counted."""

    def __post_init__(self) -> None:
        if list(self.members) != sorted(set(self.members)):
            raise BoundsError("members ascend, each once", subject=f"basket {self.name}")
        if self.name == COMMON or len(self.name) > 80 or not self.name.isprintable():
            raise BoundsError(
                "a basket has a printable name of at most 80 characters",
                subject=f"basket {self.name!r:.80}",
            )
        if self.since < 0 or self.quiet < 0:
            raise BoundsError(
                f"since {self.since}, quiet {self.quiet}: rounds are counted from 0",
                subject=f"basket {self.name}",
            )


def next_baskets(
    previous: Collection[Basket],
    assigned: Mapping[str, str],
    *,
    round_id: int,
    counted: Collection[str] | None,
    rules: BasketRules,
) -> tuple[Basket, ...]:
    """Return the baskets of the next plan, ascending by name.

    `previous` holds the baskets of the last committed round's plan. `assigned` maps each client of
    the cohort to its basket in the registry. `counted` names the clients that the last committed
    round counted; it is None where there was no such round.
    """
    before = {basket.name: basket for basket in previous}
    members: dict[str, list[str]] = {}
    for client, name in assigned.items():
        members.setdefault(name, []).append(client)
    sets: dict[str, tuple[str, ...]] = {}
    for name, clients in members.items():
        for number, part in enumerate(_parts(clients, rules.maximum), 1):
            sets[name if len(clients) <= rules.maximum else f"{name}/{number}"] = part
    baskets = []
    for name in sorted({*sets, *before}):
        earlier_basket, present = before.get(name), sets.get(name, ())
        quiet = earlier_basket.quiet if earlier_basket else 0
        if (
            earlier_basket is not None
            and counted is not None
            and earlier_basket.phase in (BasketPhase.ACTIVE, BasketPhase.STALE)
        ):
            quiet = (
                0
                if sum(client in counted for client in earlier_basket.members) >= rules.minimum
                else quiet + 1
            )
        phase = _phase(earlier_basket, present, quiet, rules)
        since = (
            earlier_basket.since
            if earlier_basket is not None and earlier_basket.phase is phase
            else round_id
        )
        baskets.append(Basket(name=name, members=present, phase=phase, since=since, quiet=quiet))
    return tuple(
        basket for basket in baskets if basket.members or basket.phase is BasketPhase.DISBANDED
    )


def groups_of(baskets: Collection[Basket], clients: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return group -> its clients among `clients`, both ascending.

    Active and stale baskets are groups of their own; every other client is in `COMMON`. Groups
    without a client are left out.
    """
    where = {
        client: b.name
        for b in baskets
        if b.phase in (BasketPhase.ACTIVE, BasketPhase.STALE)
        for client in b.members
    }
    groups: dict[str, list[str]] = {}
    for client in sorted(clients):
        groups.setdefault(where.get(client, COMMON), []).append(client)
    return {name: tuple(groups[name]) for name in sorted(groups)}


def _phase(
    earlier_basket: Basket | None, members: tuple[str, ...], quiet: int, rules: BasketRules
) -> BasketPhase:
    if earlier_basket is not None and earlier_basket.phase is BasketPhase.DISBANDED:
        return BasketPhase.DISBANDED
    if not members or quiet >= rules.disband_after:
        return BasketPhase.DISBANDED
    if len(members) < rules.minimum:
        return BasketPhase.FORMING
    return BasketPhase.STALE if quiet >= rules.stale_after else BasketPhase.ACTIVE


def _parts(clients: list[str], most: int) -> list[tuple[str, ...]]:
    """Split the clients into as few parts as `most` allows, by the digests of their ids.

    The sizes of the parts differ by at most one.
    """
    parts = -(-len(clients) // most)
    order = sorted(clients, key=lambda c: hashlib.sha256(c.encode()).digest())
    return [tuple(sorted(order[i::parts])) for i in range(parts)]
