"""Baskets: groups of clients of one domain, merged on their own before they are merged with the others.

1. forming -> active -> stale -> disbanded. A basket is forming below `minimum` members, active from there on; stale where for `stale_after` committed rounds
   in a row fewer than `minimum` of its members were counted, active again when they are; disbanded after `disband_after` such rounds, or without
   members. A disbanded basket stays so: its clients are in the common group until the registry names another basket for them.
2. A basket above `maximum` is split into equal parts "name/1", "name/2", ... by the digest of the client ids, so that nobody chooses whom to be with.
3. R-102: groups are part of the signed plan: everyone sees the same ones, and a client that the registry moves is elsewhere from the next plan on.
4. Clients of baskets that are not active are merged together in the common group "" under the same minimum.

A pure function of the last plan's baskets, the cohort, the registry and who was counted. It does not merge (`layers`).
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hyperfed.errors import BoundsError

__all__ = ["COMMON", "Basket", "BasketPhase", "BasketRules", "groups_of", "next_baskets"]

COMMON = ""


class BasketPhase(StrEnum):
    FORMING = "forming"
    ACTIVE = "active"
    STALE = "stale"
    DISBANDED = "disbanded"


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketRules:
    """minimum, maximum: members of a basket; stale_after, disband_after: committed rounds in a row with fewer than `minimum` counted. Raises BoundsError."""

    minimum: int = 3
    maximum: int = 1000
    stale_after: int = 3
    disband_after: int = 14

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum or self.maximum < 2 * self.minimum - 1:
            problem = f"minimum {self.minimum}, maximum {self.maximum}: a basket that is split must leave parts of the minimum size"
            raise BoundsError(problem, subject="baskets", remedy="State a maximum of at least twice the minimum less one")
        if not 1 <= self.stale_after < self.disband_after:
            raise BoundsError(f"stale after {self.stale_after} rounds, disbanded after {self.disband_after}", subject="baskets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Basket:
    """name; members: client ids, ascending; phase; since: the round from whose plan on it has this phase; quiet: committed rounds in a row in which
    too few of its members were counted. Raises BoundsError."""

    name: str
    members: tuple[str, ...]
    phase: BasketPhase = BasketPhase.FORMING
    since: int = 0
    quiet: int = 0

    def __post_init__(self) -> None:
        if list(self.members) != sorted(set(self.members)):
            raise BoundsError("members ascend, each once", subject=f"basket {self.name}")
        if self.name == COMMON or len(self.name) > 80 or not self.name.isprintable():
            raise BoundsError("a basket has a printable name of at most 80 characters", subject=f"basket {self.name!r:.80}")
        if self.since < 0 or self.quiet < 0:
            raise BoundsError(f"since {self.since}, quiet {self.quiet}: rounds are counted from 0", subject=f"basket {self.name}")


def next_baskets(
    previous: Collection[Basket], assigned: Mapping[str, str], *, round_id: int, counted: Collection[str] | None, rules: BasketRules
) -> tuple[Basket, ...]:
    """The baskets of the next plan, ascending by name.

    previous: of the last committed round's plan; assigned: client -> basket by the registry, for the whole cohort; counted: whom that round counted, None where
    there was no such round.
    """
    before = {basket.name: basket for basket in previous}
    members: dict[str, list[str]] = {}
    for client, name in assigned.items():
        members.setdefault(name, []).append(client)
    sets: dict[str, tuple[str, ...]] = {}
    for name, clients in members.items():
        for number, part in enumerate(_parts(clients, rules.maximum), 1):
            sets[name if len(clients) <= rules.maximum else f"{name}/{number}"] = part
    made = []
    for name in sorted({*sets, *before}):
        known, present = before.get(name), sets.get(name, ())
        quiet = known.quiet if known else 0
        if known is not None and counted is not None and known.phase in (BasketPhase.ACTIVE, BasketPhase.STALE):
            quiet = 0 if sum(client in counted for client in known.members) >= rules.minimum else quiet + 1
        phase = _phase(known, present, quiet, rules)
        since = known.since if known is not None and known.phase is phase else round_id
        made.append(Basket(name=name, members=present, phase=phase, since=since, quiet=quiet))
    return tuple(basket for basket in made if basket.members or basket.phase is BasketPhase.DISBANDED)


def groups_of(baskets: Collection[Basket], clients: Collection[str]) -> dict[str, tuple[str, ...]]:
    """group -> those of `clients` that are merged in it, ascending: active and stale baskets by name, everyone else in `COMMON`. No empty groups."""
    where = {client: b.name for b in baskets if b.phase in (BasketPhase.ACTIVE, BasketPhase.STALE) for client in b.members}
    groups: dict[str, list[str]] = {}
    for client in sorted(clients):
        groups.setdefault(where.get(client, COMMON), []).append(client)
    return {name: tuple(groups[name]) for name in sorted(groups)}


def _phase(known: Basket | None, members: tuple[str, ...], quiet: int, rules: BasketRules) -> BasketPhase:
    if known is not None and known.phase is BasketPhase.DISBANDED:
        return BasketPhase.DISBANDED
    if not members or quiet >= rules.disband_after:
        return BasketPhase.DISBANDED
    if len(members) < rules.minimum:
        return BasketPhase.FORMING
    return BasketPhase.STALE if quiet >= rules.stale_after else BasketPhase.ACTIVE


def _parts(clients: list[str], most: int) -> list[tuple[str, ...]]:
    """The clients in as few parts as `most` allows, of equal size up to one, by the digests of their ids."""
    parts = -(-len(clients) // most)
    order = sorted(clients, key=lambda c: hashlib.sha256(c.encode()).digest())
    return [tuple(sorted(order[i::parts])) for i in range(parts)]
