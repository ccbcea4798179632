"""Define what clients, helpers and the coordinator write so that a sum is opened.

1. A helper publishes a sealing key for each round, ahead of it (R-169).
2. A client leaves its seeds for the helpers in one object, beside its update. It names the update
   by digest, and commits to each seed (R-170).
3. A helper confirms which of these objects opened and matched, once, before the freeze (R-171).
4. The coordinator's manifest names what is to be opened; a helper answers it with sums of masks, or
   refuses with a reason (R-172, R-175). With central noise the answer is sealed (R-206).
5. A client that a helper accuses publishes the keys of a few of its boxes (R-199).

Each is one signed, create-only object. What helpers and clients sign, they sign with their key of
the registry.

What it does not do: read or verify them (`dropbox.openings`).
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.codec.versions import since
from hyperfed.errors import SchemaError
from hyperfed.secure_aggregation.boxes import is_round_key
from hyperfed.secure_aggregation.opening import Cohort, Manifest
from hyperfed.secure_aggregation.streams import MaskContext
from hyperfed.tables.columns import as_column

__all__ = [
    "Confirmation",
    "HelperKey",
    "HelperRefusal",
    "MaskBoxes",
    "OpeningSums",
    "Rebuttal",
    "RoundManifest",
    "SealedSums",
    "as_reason",
]

_MOST_SAID = 500
"""How many characters say why a client is not confirmed: freezes and receipts repeat them."""
_MOST_REFUSAL = 1 << 14
"""How many say why nothing is answered: an earlier cohort is among them."""


def as_reason(text: str, most: int = _MOST_SAID) -> str:
    """Return a text as a helper may give it for a reason: printable, and not long."""
    return "".join(c if c.isprintable() else " " for c in text)[:most]


def _check_reason(helper: str, reason: str, most: int = _MOST_SAID) -> None:
    if reason != as_reason(reason, most):
        raise SchemaError(
            f"gives a reason of more than {most} characters, or not printable ones",
            subject=f"helper {helper:.40}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperKey:
    """Holds a helper's sealing key of one round."""

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    helper: str
    """The helper's client id."""
    sealing: bytes
    """Its X25519 public key of this round, 32 bytes."""

    def __post_init__(self) -> None:
        if not is_round_key(self.sealing):
            raise SchemaError(
                "is no X25519 key that boxes can be sealed to",
                subject=f"round key of {self.helper:.40}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskBoxes:
    """Holds a client's seeds, sealed to the helpers, and its commitments to them."""

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    client: str
    """The client's id."""
    registry_version: int
    """The version of the registry that the plan names."""
    plan: bytes
    """Packet digest of the round's plan."""
    update: bytes
    """Packet digest of the client's masked update."""
    payload: str
    """What is summed."""
    length: int
    """How many numbers the update has."""
    commitments: tuple[bytes, ...]
    """The commitment to each seed, in the order of the sets."""
    boxes: tuple[bytes, ...]
    """The sealed seeds of each helper, ascending by helper."""
    keys: tuple[bytes, ...]
    """The round key of each helper that its box was sealed to."""

    @property
    def context(self) -> MaskContext:
        """The bytes that the client's masks are bound to."""
        return MaskContext(
            federation=self.federation,
            registry_version=self.registry_version,
            round=self.round,
            plan_digest=self.plan,
            client=self.client,
            payload=self.payload,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Says which clients' boxes opened and matched at one helper.

    Raises SchemaError where clients do not ascend, or stand twice.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    helper: str
    """The helper's client id."""
    confirmed: tuple[tuple[str, bytes], ...]
    """(client, packet digest of its boxes), ascending by client."""
    refused: tuple[tuple[str, str], ...] = ()
    """(client, why its boxes were not confirmed), ascending by client."""
    refused_boxes: tuple[tuple[str, bytes], ...] = field(default=(), metadata=since(2))
    """(client, packet digest of the boxes that were refused), ascending by client, of those whose
    boxes could be read: so that nobody answers with other boxes than were accused.
    """

    def __post_init__(self) -> None:
        for _, reason in self.refused:
            _check_reason(self.helper, reason)
        for pairs in (self.confirmed, self.refused, self.refused_boxes):
            names = [client for client, _ in pairs]
            if names != sorted(set(names)):
                raise SchemaError(
                    "clients ascend, each once", subject=f"confirmation of {self.helper:.40}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundManifest:
    """Says what is to be opened in a round, as freeze and reserve bind it."""

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    freeze: bytes
    """Packet digest of the round's freeze."""
    payload: str
    """What is summed."""
    length: int
    """How many numbers each message has."""
    messages: tuple[tuple[str, bytes], ...]
    """(client, packet digest of its boxes), ascending by client."""

    @property
    def manifest(self) -> Manifest:
        """The manifest that helpers answer."""
        cohort = Cohort(payload=self.payload, length=self.length, messages=dict(self.messages))
        return Manifest(round=self.round, freeze_digest=self.freeze, cohorts=(cohort,))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpeningSums:
    """Holds a helper's answer: for each set whose seed it holds, the sum of the cohort's masks."""

    # without an annotation, which would make it a field
    COLUMNS = MappingProxyType({"sums": np.uint64})

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    helper: str
    """The helper's client id."""
    manifest: bytes
    """Digest of the manifest that it answers, 32 bytes."""
    payload: str
    """Which of its sums."""
    sums: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """uint64[sets x length], set after set in their order."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sums", as_column(self.sums, np.uint64, "OpeningSums.sums"))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OpeningSums):
            return NotImplemented
        about = (self.federation, self.round, self.helper, self.manifest, self.payload)
        theirs = (other.federation, other.round, other.helper, other.manifest, other.payload)
        return about == theirs and np.array_equal(self.sums, other.sums)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSums:
    """Stands for a helper's answer that whoever reads it has no key to open."""

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    helper: str
    """The helper's client id."""
    sealed_to: tuple[str, ...]
    """The ids of the keys that open it, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperRefusal:
    """Says why a helper does not answer a manifest, or does not help with a plan at all."""

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    helper: str
    """The helper's client id."""
    manifest: bytes
    """Digest of the manifest that it refuses, 32 bytes, or packet digest of the plan."""
    reason: str
    """What is wrong with it; it names the earlier cohort where there is one."""

    def __post_init__(self) -> None:
        _check_reason(self.helper, self.reason, _MOST_REFUSAL)

    @classmethod
    def because(cls, text: str, **about: Any) -> "HelperRefusal":
        """Return the refusal with a reason that is as long as one may be."""
        return cls(reason=as_reason(text, _MOST_REFUSAL), **about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuttal:
    """An accused client's keys of the boxes for some helpers, so that everybody can open these.

    Raises SchemaError where helpers do not ascend, where none is named, or for a malformed key.
    """

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    client: str
    """The accused client's id."""
    plan: bytes
    """Packet digest of the round's plan."""
    accused: bytes
    """Packet digest of the boxes that were refused."""
    published: tuple[tuple[str, bytes], ...]
    """(helper, the ephemeral X25519 secret of its box, 32 bytes), ascending by helper."""

    def __post_init__(self) -> None:
        names = [helper for helper, _ in self.published]
        keys = all(len(key) == 32 for _, key in self.published)
        if not names or names != sorted(set(names)) or not keys:
            raise SchemaError(
                "helpers ascend, each once and with a key of 32 bytes",
                subject=f"rebuttal of {self.client:.40}",
            )
