"""Say where a ledger ends, in a form that people can read to each other (`Head`).

Two parties that see one ledger have the same digest at the same number. A bucket that shows two
groups of clients two consistent worlds is found out as soon as two of them compare heads on another
channel (R-130). A head binds every entry before it, and so every result.

Beside it stands what the registry's roots have annulled, and which branches they have abandoned
(R-123, R-124).

What it does not do: it does not say which of two histories is the right one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hyperfed.errors import ConfigError, RoundError
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment

__all__ = ["Head", "annulled_in_words", "check_head", "head_of"]

_LEAST_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Names the entry in which a ledger ends."""

    sequence: int
    """The number of the newest entry; 0 for an empty ledger."""
    digest: str
    """Its packet digest, hexadecimal, or the beginning of it; empty for an empty ledger."""

    def __str__(self) -> str:
        groups = (self.digest[i : i + 4] for i in range(0, len(self.digest), 4))
        return f"{self.sequence}: {' '.join(groups)}" if self.sequence else "0: empty"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Return the head that a text spells, with or without spaces and a colon.

        At least 16 digits of the digest are needed. Raises ConfigError for anything else.
        """
        match = re.fullmatch(r"\s*([0-9]{1,12})\s*[: ]\s*([0-9a-fA-F\s]*)", text)
        digits = "".join(match[2].split()).lower() if match else ""
        if match is None or not _LEAST_DIGITS <= len(digits) <= 64 or not int(match[1]):
            raise ConfigError(
                "is no ledger's head",
                subject=f"{text!r:.80}",
                rule="R-130",
                remedy='Write it as `hyperfed status` shows it: "12: 3f2a 88c1 ...", with at least '
                f"{_LEAST_DIGITS} digits",
            )
        return cls(sequence=int(match[1]), digest=digits)


def head_of(ledger: Sequence[Chained]) -> Head:
    """Return the head of a verified ledger."""
    return Head(sequence=len(ledger), digest=ledger[-1].digest.hex() if ledger else "")


def check_head(ledger: Sequence[Chained], other: Head) -> bool:
    """Return whether a ledger goes through another party's head; False where it is behind it.

    Raises RoundError where it holds another entry in that place (R-130).
    """
    if len(ledger) < other.sequence:
        return False
    own_digest = ledger[other.sequence - 1].digest.hex()
    if not own_digest.startswith(other.digest):
        here = Head(sequence=other.sequence, digest=own_digest)
        raise RoundError(
            f"is {here} here, and {other} there: two histories of one federation",
            subject=Keys.ledger(other.sequence),
            rule="R-130",
            remedy="Submit nothing. Keep both drop-boxes as they are, and tell the registry's "
            "roots and the other members, not the coordinator alone",
        )
    return True


def annulled_in_words(annulled: Sequence[Annulment], ledger: Sequence[Chained]) -> list[str]:
    """Return in words what the roots have annulled in a verified ledger, or abandoned.

    Each sentence names an entry like a head.
    """
    sentences = []
    for annulment in annulled:
        name = Head(sequence=annulment.sequence, digest=annulment.digest.hex()[:16])
        chained = ledger[annulment.sequence - 1] if annulment.sequence <= len(ledger) else None
        same = chained is not None and chained.digest == annulment.digest
        entry = chained.original if chained is not None and same else None
        if entry is not None:
            sentences.append(
                f"the roots have annulled entry {name}: a {entry.kind.value} of round {entry.round}"
            )
        else:
            charge = ", and its charge carries over" if annulment.entry else ""
            sentences.append(f"the roots have abandoned the branch of entry {name}{charge}")
    return sentences
