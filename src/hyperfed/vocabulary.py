"""The variables a round speaks about, as a versioned list with a digest.

1. Edges use indices into this list; the list is part of the signed plan (DESIGN section 2).
2. An update made against another vocabulary is refused with both digests in the reason.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from hyperfed.errors import BoundsError

__all__ = ["MAX_VARIABLES", "Variable", "Vocabulary"]

MAX_VARIABLES = 1 << 24  # so that (source, target, lag) packs into 64 bits


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its name, unique in the vocabulary, and its domain ("economics", "lab", ...)."""

    name: str
    domain: str = ""

    def __post_init__(self) -> None:
        for field, text in (("name", self.name), ("domain", self.domain)):
            # isprintable: nothing that steers a terminal, reverses the reading direction or cannot be written as UTF-8
            if not isinstance(text, str) or len(text) > 200 or not text.isprintable() or (field == "name" and not text):
                raise BoundsError(f"a variable's {field} is a text of at most 200 printable characters", subject=repr(text)[:80])


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`variables` in the order that indices refer to; `version` grows by one with every change."""

    variables: tuple[Variable, ...]
    version: int = 1

    def __post_init__(self) -> None:
        if type(self.version) is not int or not 0 <= self.version < 1 << 53:
            raise BoundsError(f"version {self.version!r:.40}; an integer of at least 0 is needed", subject="vocabulary")
        if len(self.variables) > MAX_VARIABLES:
            raise BoundsError(f"{len(self.variables)} variables; at most {MAX_VARIABLES} fit", subject="vocabulary")
        if len({v.name for v in self.variables}) != len(self.variables):
            twice = sorted(name for name, count in Counter(v.name for v in self.variables).items() if count > 1)
            raise BoundsError(f"variable names must be unique; twice: {', '.join(twice[:5])}", subject="vocabulary")

    @classmethod
    def of(cls, *names: str, domain: str = "", version: int = 1) -> "Vocabulary":
        """A vocabulary of `names`, all of one domain."""
        return cls(tuple(Variable(name, domain) for name in names), version)

    def __len__(self) -> int:
        return len(self.variables)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.variables)

    def index(self, name: str) -> int:
        """The index of the variable called `name`. Raises BoundsError where there is none, naming those there are."""
        for i, variable in enumerate(self.variables):
            if variable.name == name:
                return i
        known = ", ".join(self.names[:12]) + (" ..." if len(self) > 12 else "")
        raise BoundsError("unknown variable", subject=repr(name)[:80], remedy=f"The vocabulary (version {self.version}) has: {known}")

    @property
    def digest(self) -> bytes:
        """SHA-256 over version and variables, each text preceded by its length: 32 bytes."""
        return _digest_of(self)


@lru_cache(maxsize=16)
def _digest_of(vocabulary: Vocabulary) -> bytes:
    """Kept: a round compares it once for every client."""
    h = hashlib.sha256(f"hyperfed/vocabulary/{vocabulary.version}/{len(vocabulary)}\n".encode())
    for variable in vocabulary.variables:
        for text in (variable.name.encode(), variable.domain.encode()):
            h.update(len(text).to_bytes(4, "little"))
            h.update(text)
    return h.digest()
