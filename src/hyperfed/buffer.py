"""`UpdateBuffer`: late updates, in-process: the rule that `protocol.choose` applies to the drop-box, for notebooks and the simulator.

1. An update made for round N - s counts in round N with weight decay ** s, s <= max_staleness; a later one is refused.
2. Of a client's updates the freshest counts; of two for one round the higher sequence. A client counts once for each round it made an update for.
3. Participation cap: at most `slots` submissions a client and round (the inbox's slots).
4. Replay guard: a sequence that does not rise, or a digest that was seen, is refused.
5. What it must remember is `RoundState`'s: highest sequences and windows. `from_state` starts it from there, so nothing rests on a process's memory.

Source: DESIGN section 3, "Late updates"; R-84, R-89, R-93, R-94.
"""

from dataclasses import dataclass, field
from typing import Any, Self

from hyperfed.errors import ConfigError, RefusedError
from hyperfed.protocol.objects import REMEMBERED, RoundState

__all__ = ["SLOTS", "Buffered", "UpdateBuffer", "staleness_weight"]

SLOTS = 4  # of an inbox: how often a client may correct itself


def staleness_weight(staleness: int, *, decay: float, max_staleness: int) -> float:
    """decay ** staleness. Raises RefusedError for an update that is too late or from the future."""
    if not 0 <= staleness <= max_staleness:
        raise RefusedError(f"{staleness} windows late; at most {max_staleness} are allowed", rule="R-84", remedy="Make a new update for the current round")
    return float(decay**staleness)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffered:
    """An update that counts: whose, its content, for which round it was made, its sequence, and what its lateness leaves of its weight."""

    client: str
    content: Any
    made_for: int
    sequence: int
    weight: float


@dataclass(slots=True)
class _Client:
    highest: int = 0
    windows: set[int] = field(default_factory=set)
    digests: set[bytes] = field(default_factory=set)
    submitted: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, tuple[int, Any]] = field(default_factory=dict)  # round -> (sequence, content)


class UpdateBuffer:
    """max_staleness: windows; decay in (0, 1]; slots: submissions a client and round. Raises ConfigError."""

    def __init__(self, *, max_staleness: int = 3, decay: float = 0.9, slots: int = SLOTS) -> None:
        if not 0 <= max_staleness < REMEMBERED or not 0 < decay <= 1 or slots < 1:
            raise ConfigError(
                f"max_staleness {max_staleness}, decay {decay:g}, slots {slots}", subject="buffer", remedy=f"0 to {REMEMBERED - 1}, (0, 1], 1 or more"
            )
        self.max_staleness, self.decay, self.slots = max_staleness, decay, slots
        self._clients: dict[str, _Client] = {}

    @classmethod
    def from_state(cls, state: RoundState, **settings: Any) -> Self:
        """A buffer that remembers what a round's state does."""
        buffer = cls(**settings)
        for c in state.clients:
            buffer._clients[c.client] = _Client(highest=c.highest_sequence, windows=set(c.windows), digests={c.last_digest} - {b""})
        return buffer

    def add(self, client: str, content: Any, *, made_for: int, now: int, sequence: int, digest: bytes = b"") -> None:
        """Take an update in round `now`. Raises RefusedError: too late, replayed, too often, or counted before; nothing is kept then."""
        record = self._clients.get(client, _Client())
        staleness_weight(now - made_for, decay=self.decay, max_staleness=self.max_staleness)
        if sequence <= record.highest or sequence <= max((s for s, _ in record.waiting.values()), default=0):
            raise RefusedError(
                f"sequence {sequence} does not rise", subject=client, rule="R-89", remedy="Each update carries a higher sequence than any before"
            )
        if digest and digest in record.digests:
            raise RefusedError("was submitted before", subject=client, rule="R-89", remedy="Nothing to do: the first one counts")
        if made_for in record.windows:
            raise RefusedError(
                f"was already counted for round {made_for}", subject=client, rule="R-94", remedy="Nothing to do: each client counts once a window"
            )
        if record.submitted.get(made_for, 0) >= self.slots:
            raise RefusedError(f"has used its {self.slots} slots of round {made_for}", subject=client, rule="R-80", remedy="Wait for the next round")
        self._clients[client] = record
        record.submitted[made_for] = record.submitted.get(made_for, 0) + 1
        record.digests |= {digest} - {b""}
        record.waiting[made_for] = (sequence, content)

    def ready(self, now: int) -> list[Buffered]:
        """What would count in round `now`, ascending by client: of each the freshest that is not too late."""
        found = []
        for client in sorted(self._clients):
            waiting = self._clients[client].waiting
            fit = [r for r in waiting if 0 <= now - r <= self.max_staleness]
            if fit:
                made_for = max(fit)
                sequence, content = waiting[made_for]
                weight = staleness_weight(now - made_for, decay=self.decay, max_staleness=self.max_staleness)
                found.append(Buffered(client=client, content=content, made_for=made_for, sequence=sequence, weight=weight))
        return found

    def counted(self, updates: list[Buffered], now: int) -> None:
        """A committed round has counted these: older ones of the same clients are superseded, and what can never count is dropped."""
        for update in updates:
            record = self._clients[update.client]
            record.highest = max(record.highest, update.sequence)
            record.windows.add(update.made_for)
        for record in self._clients.values():
            for r in [r for r in record.waiting if now + 1 - r > self.max_staleness or r in record.windows]:
                del record.waiting[r]
            record.windows = {r for r in record.windows if r > now - REMEMBERED}
            record.submitted = {r: n for r, n in record.submitted.items() if r > now - REMEMBERED}

    def slots_left(self, client: str, made_for: int) -> int:
        """How often `client` may still submit for a round."""
        record = self._clients.get(client)
        return self.slots - (record.submitted.get(made_for, 0) if record else 0)
