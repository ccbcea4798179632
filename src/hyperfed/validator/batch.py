"""Judge a batch one arrival at a time, and say what each client's objects come to.

1. One update for each client and round is admitted, the one with the highest sequence (R-93). Two
   digests under one sequence are both refused (R-92).
2. Admission compares updates of one client only. So a client's part of the admission is ready as
   soon as its last object has been judged, and `joined` makes the admission of the whole batch from
   the parts.
3. Objects that lie in no client's folder are recorded last, and only 64 of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyperfed.protocol.object_keys import client_of
from hyperfed.protocol.objects import Refused
from hyperfed.validator.admission import (
    Admission,
    Admitted,
    Arrival,
    cap_misplaced,
    joined,
    one_each,
)

if TYPE_CHECKING:
    from hyperfed.validator.validator import PacketValidator

__all__ = ["Batch", "FolderContent"]


@dataclass(slots=True)
class FolderContent:
    """Holds what was judged in one client's folders, or in folders that are no client's."""

    verified: list[Admitted] = field(default_factory=list)
    """The updates that passed."""
    refused: list[Refused] = field(default_factory=list)
    """The objects that were refused."""
    digests: dict[tuple[str, int], set[bytes]] = field(default_factory=dict)
    """The digests that stand on each (key id, sequence)."""

    def admission(self) -> Admission:
        """Return what the client's objects come to."""
        return one_each(
            self.verified,
            self.refused,
            {claim for claim, digests in self.digests.items() if len(digests) > 1},
        )


class Batch:
    """Judges the arrivals of a batch.

    `last_keys` maps each client to the key of its last object. A client without one waits for
    `rest`.
    """

    def __init__(self, validator: "PacketValidator", *, last_keys: Mapping[str, str]) -> None:
        self._validator, self._last_keys = validator, last_keys
        self._clients: dict[str, FolderContent] = {}
        self._misplaced = FolderContent()

    def take(self, arrival: Arrival) -> Admission | None:
        """Judge an arrival.

        Returns what its client's objects come to where it is the last of them, and None otherwise.
        Raises what is no fault of a packet.
        """
        client = client_of(arrival.key)
        if not client:
            self._validator.judge(arrival, self._misplaced)
            return None
        self._validator.judge(arrival, self._clients.setdefault(client, FolderContent()))
        if self._last_keys.get(client) != arrival.key:
            return None
        return self._clients.pop(client).admission()

    def rest(self) -> Admission:
        """Return the admission of the objects of clients whose last object has not been judged."""
        misplaced = Admission(admitted=(), refused=tuple(cap_misplaced(self._misplaced.refused)))
        return joined([*(content.admission() for content in self._clients.values()), misplaced])
