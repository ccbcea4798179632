"""Name who helps to open secure sums, and which clients may be opened together (R-168).

1. Four to seven helpers, clients of different organisations, are named by the roots, so that no
   online key chooses who can open a sum. The coordinator's own organisation counts as colluding
   where it is a helper's.
2. Blocks of clients are public and fixed. A block has at least k + m organisations that are no
   helper's: k stay hidden among each other, m may be the coordinator's.
3. A client that stands in no block is not counted in any round of secure sums.
4. A helper whose log was lost enrols anew, and answers no round before its `first_round`.

What it does not do: it opens nothing (`hyperfed.secure_aggregation`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hyperfed.errors import ConfigError, RegistryError
from hyperfed.registry.blocks import check_blocks, smallest_class
from hyperfed.registry.helper_group import HelperGroup
from hyperfed.registry.records import ClientRecord

__all__ = [
    "HELP_WINDOWS",
    "HelperRecord",
    "SecureSums",
    "counted_organisations",
    "told_apart_by_blocks",
]

HELP_WINDOWS = 7
"""For how many windows after a round's deadline helpers keep its key, where no root bounds it."""
_MOST_ROUNDS = 1 << 53
_MOST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperRecord:
    """Describes a client that helps to open sums."""

    client_id: str
    """The helper's client id."""
    first_round: int = 1
    """The first round that it may answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSums:
    """Holds the helpers and blocks of a federation.

    Raises RegistryError where a number is out of range or helpers do not make a group.
    """

    helpers: tuple[HelperRecord, ...]
    """The 4 to 7 helpers, ascending by client id."""
    colluding_helpers: int = 1
    """t: how many helpers may collude with coordinator and bucket."""
    colluding_clients: int = 0
    """m: how many organisations of clients may collude with the coordinator."""
    together: int = 3
    """k: how many other organisations hide each other in a sum, at least 2."""
    blocks: tuple[tuple[str, ...], ...] = ()
    """Clients that are counted all or none, ascending in each block."""

    def __post_init__(self) -> None:
        numbers = (
            ("together", self.together, 2),
            ("colluding_clients", self.colluding_clients, 0),
        )
        for name, value, least in numbers:
            if type(value) is not int or not least <= value < _MOST:
                raise RegistryError(
                    f"{name} is {value!r:.40}; at least {least} is needed",
                    subject="secure sums",
                    rule="R-168",
                    remedy="State how many organisations hide each other, and how many may collude",
                )
        if any(not 1 <= helper.first_round < _MOST_ROUNDS for helper in self.helpers):
            raise RegistryError(
                "a helper's first round is 1 or later", subject="secure sums", rule="R-168"
            )
        if any(list(block) != sorted(block) for block in self.blocks):
            raise RegistryError("clients ascend in each block", subject="secure sums", rule="R-168")
        _ = self.group

    @property
    def group(self) -> HelperGroup:
        """The helpers as a group.

        Raises RegistryError where they do not make one.
        """
        try:
            return HelperGroup(
                helpers=tuple(helper.client_id for helper in self.helpers),
                colluding_helpers=self.colluding_helpers,
            )
        except ConfigError as exc:
            raise RegistryError(
                exc.problem, subject=exc.subject, rule="R-168", remedy=exc.remedy
            ) from exc

    @property
    def smallest(self) -> int:
        """The fewest organisations, helpers' excluded, that may be opened together: k + m."""
        return self.together + self.colluding_clients

    @property
    def least_shares(self) -> int:
        """The fewest shares of noise that a plan may count on: those of k others (R-190)."""
        return self.together

    def check(self, clients: Sequence[ClientRecord]) -> None:
        """Check helpers and blocks against the registry's clients. Raises RegistryError."""
        organisation_of = {client.client_id: client.organisation for client in clients}
        named = [helper.client_id for helper in self.helpers]
        for helper in named:
            if helper not in organisation_of:
                raise RegistryError(
                    "is a helper, and no client of the registry",
                    subject=helper,
                    rule="R-168",
                    remedy="Add it with `hyperfed registry add`. To revoke it, first draft another "
                    "helper in its place: `hyperfed registry helpers`; then `hyperfed registry "
                    "revoke --draft FILE`",
                )
        if len({organisation_of[helper] for helper in named}) != len(named):
            raise RegistryError(
                "two helpers are of one organisation, which could collude with itself",
                subject="helpers",
                rule="R-168",
                remedy="Name helpers of different organisations",
            )
        placed = {client for block in self.blocks for client in block}
        counted = counted_organisations(self, clients)
        try:
            check_blocks(
                self.blocks,
                {name: organisation for name, organisation in counted.items() if name in placed},
                smallest=self.smallest,
            )
        except ConfigError as exc:
            raise RegistryError(
                exc.problem, subject=exc.subject, rule="R-168", remedy=exc.remedy
            ) from exc


def counted_organisations(
    secure_sums: SecureSums, clients: Sequence[ClientRecord]
) -> dict[str, str]:
    """Return the organisation of each client; "" for a helper's, which hides nobody."""
    helpers = {helper.client_id for helper in secure_sums.helpers}
    theirs = {client.organisation for client in clients if client.client_id in helpers}
    return {
        client.client_id: "" if client.organisation in theirs else client.organisation
        for client in clients
    }


def told_apart_by_blocks(
    earlier: Sequence[SecureSums], rules: SecureSums, clients: Sequence[ClientRecord]
) -> tuple[str, ...]:
    """Return whom sums of new blocks and of earlier ones together could tell apart, or nobody.

    Helpers refuse such sums, since the ledger tells them all earlier cohorts (R-212). Roots know
    all blocks, and so hear it before anybody has computed for a night.
    """
    organisation_of = {name: "" for one in earlier for block in one.blocks for name in block}
    organisation_of |= counted_organisations(rules, clients)
    blocks = [set(block) for one in (*earlier, rules) for block in one.blocks]
    placed = {name for block in rules.blocks for name in block}
    size, names = smallest_class(blocks, organisation_of, placed=placed)
    return names if size < rules.smallest else ()
