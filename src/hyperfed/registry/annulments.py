"""Define annulments: ledger entries that the registry's roots have declared to decide nothing.

1. An annulment names an entry by number and digest. The chain goes on behind its actual tail, and
   nothing is cut (R-123).
2. An entry of an abandoned branch may be given whole: what it charged carries over (R-124).

What it does not do: apply them to a ledger (`protocol.ledger`, `dropbox.ledger_reader`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hyperfed.errors import RegistryError

__all__ = ["Annulment", "check_annulled"]

_MOST = 4096
_MAX_ENTRY_BYTES = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Annulment:
    """Names one entry of the ledger that decides nothing.

    Raises RegistryError where it names none.
    """

    sequence: int
    """The entry's number, from 1."""
    digest: bytes
    """Its packet digest, 32 bytes."""
    entry: bytes = b""
    """The envelope of an entry of an abandoned branch, which is not in the drop-box; or nothing."""

    def __post_init__(self) -> None:
        if self.sequence < 1 or len(self.digest) != 32 or len(self.entry) > _MAX_ENTRY_BYTES:
            raise RegistryError(
                "names no ledger entry by its number and digest",
                subject=f"annulment of entry {self.sequence}",
                rule="R-123",
                remedy="Name both, as `hyperfed audit` and the error of a fork show them",
            )


def check_annulled(
    annulled: Sequence[Annulment], least_sequences: Sequence[tuple[str, int]]
) -> None:
    """Raise RegistryError where annulments or sequences do not ascend, or are too many."""
    named = [(item.sequence, item.digest) for item in annulled]
    names = [name for name, _ in least_sequences]
    if named != sorted(set(named)) or len(named) > _MOST or names != sorted(set(names)):
        raise RegistryError(
            f"annulments and sequences ascend, each once, and at most {_MOST} entries are annulled",
            subject="registry",
            rule="R-123",
        )
