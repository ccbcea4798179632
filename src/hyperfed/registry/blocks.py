"""Decide which clients may be opened together when no noise protects a sum.

1. Two sums without noise can be subtracted. A rule about pairs of cohorts ("they differ by k
   clients or more") fails: {v} + P + Q, P and Q differ by enough, and together they reveal v.
2. So the registry fixes public blocks of clients, each of at least k + m organisations: k that stay
   hidden among each other, m that may be the coordinator's. A cohort is a union of complete blocks.
3. A block is complete where all of its clients are there. A client that is left out because another
   client of its block is missing reads that in its receipt.
4. A helper also looks at all sums that were opened before, void rounds, payloads and baskets
   included. Clients that were always opened together form a class; a manifest that would leave a
   class of fewer than k + m organisations is refused, with the earlier cohort as the reason. So a
   registry that draws its blocks anew, or enrols organisations again under new names, cannot cut a
   small group out.
5. Organisations named "" hide nobody: those of helpers, who may collude.
6. A block of one organisation's many clients protects that organisation from nobody: organisations
   are counted, not clients.

What it does not do: hide a change. Where one client's data changed between two rounds with the same
cohort, the difference of the two sums is that change.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hyperfed.errors import ConfigError

__all__ = ["BlockCohort", "check_blocks", "complete_blocks", "smallest_class"]

Block = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCohort:
    """Holds who may be summed in this round, and who waits for whom."""

    clients: tuple[str, ...]
    """The clients of all complete blocks, in ascending order."""
    left_out: Mapping[str, tuple[str, ...]]
    """For each client that was there and is left out, the missing clients of its block."""


def _organisations(clients: Iterable[str], organisation_of: Mapping[str, str]) -> int:
    return len({organisation_of[client] for client in clients} - {""})


def check_blocks(
    blocks: Sequence[Block], organisation_of: Mapping[str, str], *, smallest: int
) -> None:
    """Raise ConfigError unless the blocks hold each client once and are large enough.

    `organisation_of` names the organisation of every client of the registry. `smallest` is k + m.
    """
    placed: set[str] = set()
    for number, block in enumerate(blocks, start=1):
        for client in block:
            if client not in organisation_of:
                raise ConfigError(
                    "is no client of the registry",
                    subject=f"{client} in block {number}",
                    remedy="Add it with `hyperfed registry add`. To revoke it, first draft helpers "
                    "and blocks without it and its block, which is summed no more: `hyperfed "
                    "registry helpers`; then `hyperfed registry revoke --draft FILE`",
                )
            if client in placed:
                raise ConfigError(
                    "stands in two blocks",
                    subject=f"{client} in block {number}",
                    remedy="Name each client in one block",
                )
            placed.add(client)
        present = _organisations(block, organisation_of)
        if present < smallest:
            raise ConfigError(
                f"has {present} organisations; {smallest} are needed",
                subject=f"block {number}",
                remedy="Join it with another block",
            )
    missing = sorted(set(organisation_of) - placed)
    if missing:
        raise ConfigError(
            f"is in no block, as are {len(missing) - 1} others",
            subject=missing[0],
            remedy="Add it to a block",
        )


def complete_blocks(blocks: Sequence[Block], present: AbstractSet[str]) -> BlockCohort:
    """Return the union of the blocks whose clients are all present.

    The answer is a pure function of the registry and of what lies in the inbox, so that an audit
    can find it again.
    """
    clients: list[str] = []
    left_out: dict[str, tuple[str, ...]] = {}
    for block in blocks:
        missing = tuple(client for client in block if client not in present)
        if not missing:
            clients.extend(block)
            continue
        left_out.update((client, missing) for client in block if client in present)
    return BlockCohort(clients=tuple(sorted(clients)), left_out=left_out)


def smallest_class(
    cohorts: Sequence[AbstractSet[str]],
    organisation_of: Mapping[str, str],
    *,
    placed: AbstractSet[str] | None = None,
) -> tuple[int, tuple[str, ...]]:
    """Return the organisations of the smallest class, and its clients in ascending order.

    Two clients are of one class where each of `cohorts` holds both or neither. Clients that were
    never opened do not count. Returns (0, ()) where nothing was opened.

    `placed` holds the clients of the present blocks. Where it is given, classes are also looked at
    as if each other client were the placed one of its organisation: whoever enrols again under
    another name tells nobody apart who did not.
    """
    opened = sorted({name for cohort in cohorts for name in cohort})
    renamed = {organisation_of[name]: name for name in sorted(placed or (), reverse=True)}
    renamed.pop("", None)
    now = {
        name: name if placed is None or name in placed else renamed.get(organisation_of[name], name)
        for name in opened
    }
    sized = [
        (_organisations(names, organisation_of), names)
        for called in (dict(zip(opened, opened, strict=True)), now)
        for names in _classes(cohorts, called)
    ]
    return min(sized, default=(0, ()))


def _classes(
    cohorts: Sequence[AbstractSet[str]], called: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Return the clients of each class; clients that are `called` the same are one."""
    present = [{called[name] for name in cohort} for cohort in cohorts]
    classes: dict[tuple[bool, ...], list[str]] = {}
    for client, name in called.items():
        classes.setdefault(tuple(name in names for names in present), []).append(client)
    return [tuple(names) for names in classes.values()]
