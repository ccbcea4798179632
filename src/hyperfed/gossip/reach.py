"""Say which gossip a client without a cloud account needs links for.

1. A bundle reaches the round that it is made for, and the next one on the same plan: so a basket
   gossips through one round whose coordinator is gone (R-151).
2. A client gets links to write its own epochs, and to read them and those of its peers, nothing
   else.
3. Where the roots keep no share for gossip, no link is made. Bundles stay what they were then.

What it does not do: make links (`links.issuing`).
"""

from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import PrivacyError, RegistryError, RoundError
from hyperfed.gossip.terms import GossipTerms, share_in_force, terms_of
from hyperfed.protocol.object_keys import Keys

__all__ = ["GossipReach"]

_ROUNDS_AHEAD = 1


class GossipReach:
    """Names the gossip that a client's links of a round reach (`links.issuing.Mail`)."""

    def __init__(self, reader: DropBoxReader, round_id: int) -> None:
        self._reader, self._round = reader, round_id

    def written(self, client: str) -> list[str]:
        """Return the keys that `client` may write."""
        return [
            Keys.gossip(terms.round, epoch, client)
            for terms in self._terms(client)
            for epoch in range(terms.plan.epochs)
        ]

    def read(self, client: str) -> list[str]:
        """Return the keys that `client` may read: its peers' and its own."""
        return [
            Keys.gossip(terms.round, epoch, peer)
            for terms in self._terms(client)
            for epoch in range(terms.plan.epochs)
            for peer in terms.plan.neighbours(epoch, client)
        ] + self.written(client)

    def _terms(self, client: str) -> list[GossipTerms]:
        """Return the terms of the rounds that are reached; none where there is no gossip."""
        try:
            share_in_force(self._reader)
            return [
                terms_of(self._reader, client, self._round + ahead)
                for ahead in range(_ROUNDS_AHEAD + 1)
            ]
        except (PrivacyError, RegistryError, RoundError):
            return []
