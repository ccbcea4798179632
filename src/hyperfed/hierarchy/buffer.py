"""Hold late updates in-process, for notebooks and the simulator (`UpdateBuffer`).

The buffer applies the rule that `coordinator.choose` applies to the drop-box.

1. An update made for round N - s counts in round N with weight decay ** s, where s is at most
   max_staleness; an update that is even later is refused.
2. Of a client's updates the one for the latest round counts, and of two for one round the one with
   the higher sequence. A client counts once for each round it made an update for.
3. Participation cap: a client may submit at most `slots` times for a round, as the inbox has slots.
4. Replay guard: a sequence that does not rise, or a digest that was seen, is refused.
5. All that it must remember stands in `RoundState`: highest sequences and windows. `from_state`
   starts it from there, so nothing rests on a process's memory.

Source: DESIGN section 3, "Late updates"; R-84, R-89, R-93, R-94.
"""

from dataclasses import dataclass, field
from typing import Any, Self

from hyperfed.errors import ConfigError, RefusedError
from hyperfed.protocol.objects import REMEMBERED, RoundState

__all__ = ["SLOTS", "Buffered", "UpdateBuffer", "staleness_weight"]

SLOTS = 4
"""How often a client may submit for one round: the slots that it has in the round's inbox."""


def staleness_weight(staleness: int, *, decay: float, max_staleness: int) -> float:
    """Return decay ** staleness: the share of its weight that a late update keeps.

    Raises RefusedError for an update that is too late or for a future round (R-84).
    """
    if not 0 <= staleness <= max_staleness:
        raise RefusedError(
            f"{staleness} windows late; at most {max_staleness} are allowed",
            rule="R-84",
            remedy="Make a new update for the current round",
        )
    return float(decay**staleness)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffered:
    """Holds an update that counts in a round."""

    client: str
    """The client that made it."""
    content: Any
    """What was handed to `UpdateBuffer.add`."""
    made_for: int
    """The round it was made for."""
    sequence: int
    """Its sequence number."""
    weight: float
    """What its lateness leaves of its weight, in (0, 1]."""


@dataclass(slots=True)
class _Client:
    """What the buffer remembers of a client."""

    highest: int = 0
    """The highest sequence that was counted or dropped."""
    windows: set[int] = field(default_factory=set)
    """The rounds it was counted for."""
    digests: set[bytes] = field(default_factory=set)
    """The digests that it has submitted."""
    submitted: dict[int, int] = field(default_factory=dict)
    """How often it has submitted for each round."""
    waiting: dict[int, tuple[int, Any]] = field(default_factory=dict)
    """The sequence and content that wait, by the round they were made for."""


class UpdateBuffer:
    """Holds clients' updates until a round counts them.

    Args:
        max_staleness: How many windows late an update may be.
        decay: The factor by which each window of lateness reduces a weight, in (0, 1].
        slots: How often a client may submit for one round.

    Raises ConfigError for a value out of its bounds.
    """

    def __init__(self, *, max_staleness: int = 3, decay: float = 0.9, slots: int = SLOTS) -> None:
        if not 0 <= max_staleness < REMEMBERED or not 0 < decay <= 1 or slots < 1:
            raise ConfigError(
                f"max_staleness {max_staleness}, decay {decay:g}, slots {slots}",
                subject="buffer",
                remedy=f"Use 0 to {REMEMBERED - 1}, a number in (0, 1], and 1 or more",
            )
        self.max_staleness, self.decay, self.slots = max_staleness, decay, slots
        self._clients: dict[str, _Client] = {}

    @classmethod
    def from_state(cls, state: RoundState, **settings: Any) -> Self:
        """Return a buffer that starts with what a round's state remembers.

        settings: the arguments of the constructor.
        """
        buffer = cls(**settings)
        for c in state.clients:
            buffer._clients[c.client] = _Client(
                highest=c.highest_sequence, windows=set(c.windows), digests={c.last_digest} - {b""}
            )
        return buffer

    def add(
        self,
        client: str,
        content: Any,
        *,
        made_for: int,
        now: int,
        sequence: int,
        digest: bytes = b"",
    ) -> None:
        """Take an update in round `now`.

        digest: the update's digest, for the replay guard; empty: it is not compared. Raises
        RefusedError for an update that is too late (R-84), replayed (R-89), made for a round that
        its client was counted for (R-94), or beyond the client's slots (R-80); nothing is kept
        then.
        """
        record = self._clients.get(client, _Client())
        staleness_weight(now - made_for, decay=self.decay, max_staleness=self.max_staleness)
        if sequence <= record.highest or sequence <= max(
            (s for s, _ in record.waiting.values()), default=0
        ):
            raise RefusedError(
                f"sequence {sequence} does not rise",
                subject=client,
                rule="R-89",
                remedy="Give each update a higher sequence than any before",
            )
        if digest and digest in record.digests:
            raise RefusedError(
                "was submitted before",
                subject=client,
                rule="R-89",
                remedy="Nothing to do: the first one counts",
            )
        if made_for in record.windows:
            raise RefusedError(
                f"was already counted for round {made_for}",
                subject=client,
                rule="R-94",
                remedy="Nothing to do: each client counts once a window",
            )
        if record.submitted.get(made_for, 0) >= self.slots:
            raise RefusedError(
                f"has used its {self.slots} slots of round {made_for}",
                subject=client,
                rule="R-80",
                remedy="Wait for the next round",
            )
        self._clients[client] = record
        record.submitted[made_for] = record.submitted.get(made_for, 0) + 1
        record.digests |= {digest} - {b""}
        record.waiting[made_for] = (sequence, content)

    def ready(self, now: int) -> list[Buffered]:
        """Return what would count in round `now`, ascending by client.

        Of each client it is the update for the latest round, among those that are not too late.
        """
        ready_updates = []
        for client in sorted(self._clients):
            waiting = self._clients[client].waiting
            fit = [r for r in waiting if 0 <= now - r <= self.max_staleness]
            if fit:
                made_for = max(fit)
                sequence, content = waiting[made_for]
                weight = staleness_weight(
                    now - made_for, decay=self.decay, max_staleness=self.max_staleness
                )
                ready_updates.append(
                    Buffered(
                        client=client,
                        content=content,
                        made_for=made_for,
                        sequence=sequence,
                        weight=weight,
                    )
                )
        return ready_updates

    def counted(self, updates: list[Buffered], now: int) -> None:
        """Note that the committed round `now` has counted these updates.

        What can no longer count is dropped: updates for rounds that their client was counted for,
        and those that are too late for the next round.
        """
        for update in updates:
            record = self._clients[update.client]
            record.highest = max(record.highest, update.sequence)
            record.windows.add(update.made_for)
        for record in self._clients.values():
            for r in [
                r for r in record.waiting if now + 1 - r > self.max_staleness or r in record.windows
            ]:
                del record.waiting[r]
            record.windows = {r for r in record.windows if r > now - REMEMBERED}
            record.submitted = {r: n for r, n in record.submitted.items() if r > now - REMEMBERED}

    def drop_waiting(self, client: str) -> None:
        """Drop the updates of `client` that wait.

        Its sequences, digests, windows and used slots are remembered, so that nothing of it is
        taken twice if it returns.
        """
        record = self._clients.get(client)
        if record is None:
            return
        record.highest = max([record.highest, *(s for s, _ in record.waiting.values())])
        record.waiting.clear()

    def slots_left(self, client: str, made_for: int) -> int:
        """Return how often `client` may still submit for a round."""
        record = self._clients.get(client)
        return self.slots - (record.submitted.get(made_for, 0) if record else 0)
