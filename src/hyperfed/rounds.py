"""Round number <-> time window, and the keys of the drop-box.

1. A round's number is the count of windows since genesis: round r is [genesis + (r-1) * window, genesis + r * window), r >= 1.
2. A round's deadline is its window's end. Nobody counts rounds; everybody computes them.
3. `close_by` is by default the next round's deadline: until then a failed round may be retried, after it the round is void.

`FederationScheduler` keeps the meaning of the reference scheduler's three numbers as a pure object: time is an argument, there is no loop
and no daemon; the real clock is a Prefect schedule (`schedule_of`). Source: DESIGN sections 3 and 4.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from hyperfed.errors import ConfigError

__all__ = ["SLOTS", "FederationScheduler", "Keys", "Windows", "check_client_id", "is_client_id", "page_of"]

SLOTS = 4  # how often a client may correct itself in one round


def check_client_id(client_id: str) -> str:
    """The id itself, if it is 3 to 32 of [a-z0-9-]. Raises ConfigError. Look-alikes and path tricks have no spelling here (R-22)."""
    if not (3 <= len(client_id) <= 32 and all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in client_id) and not client_id.startswith("-")):
        raise ConfigError("not a client id", subject=repr(client_id)[:60], rule="R-22", remedy="3 to 32 of a-z, 0-9 and '-', not starting with '-'")
    return client_id


def is_client_id(text: str) -> bool:
    """Whether `check_client_id` lets it pass: a folder of the drop-box may be called anything."""
    try:
        check_client_id(text)
    except ConfigError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The federation's clock: genesis (an instant with a time zone) and the window's length in seconds."""

    genesis: datetime
    window_s: int

    def __post_init__(self) -> None:
        if self.genesis.tzinfo is None:
            raise ConfigError("genesis needs a time zone", subject=self.genesis.isoformat())
        if self.window_s < 1:
            raise ConfigError(f"a window of {self.window_s} s; at least 1 is needed")

    def round_at(self, now: datetime) -> int:
        """The number of the window that `now` lies in. Raises ConfigError before genesis."""
        elapsed = now - self.genesis
        if elapsed < timedelta(0):
            raise ConfigError(f"genesis is {self.genesis.isoformat()}, after {now.isoformat()}", subject="round", remedy="Check this machine's clock")
        return elapsed // timedelta(seconds=self.window_s) + 1

    def opens(self, round_id: int) -> datetime:
        return self.genesis + timedelta(seconds=self.window_s) * (round_id - 1)

    def deadline(self, round_id: int) -> datetime:
        return self.opens(round_id + 1)

    def ended_at(self, now: datetime) -> int:
        """The newest round whose window has ended at `now`: what tonight's run is for. 0 in the first window."""
        return self.round_at(now) - 1


def page_of(client: str) -> int:
    """The number of the page of receipts that a client's lies in, 0 to 255: the first byte of its id's SHA-256 (R-44)."""
    return hashlib.sha256(client.encode()).digest()[0]


class Keys:
    """The object keys of DESIGN section 3. Only these are ever written."""

    @staticmethod
    def registry(version: int) -> str:
        return f"registry/{version:06d}"

    @staticmethod
    def plan(round_id: int) -> str:
        return f"rounds/{round_id:08d}/plan"

    @staticmethod
    def links(round_id: int, client: str) -> str:
        return f"rounds/{round_id:08d}/links/{client}"

    @staticmethod
    def inbox(round_id: int, client: str | None = None, slot: int | None = None) -> str:
        """The key of an update, or the prefix of a client's or a whole round's inbox."""
        parts = [f"inbox/{round_id:08d}/"] + ([f"{client}/"] if client else []) + ([str(slot)] if slot is not None else [])
        return "".join(parts)

    @staticmethod
    def accepted(round_id: int, digest: bytes) -> str:
        return f"rounds/{round_id:08d}/accepted/{digest.hex()}"

    @staticmethod
    def scratch(round_id: int, folder: str = "") -> str:
        """The prefix of what a merge across machines keeps for itself, or a folder in it (`coordinator.scratch`)."""
        return f"rounds/{round_id:08d}/scratch/" + (f"{folder}/" if folder else "")

    @staticmethod
    def freeze(round_id: int) -> str:
        return f"rounds/{round_id:08d}/freeze"

    @staticmethod
    def result(round_id: int) -> str:
        return f"rounds/{round_id:08d}/result"

    @staticmethod
    def state(round_id: int) -> str:
        return f"rounds/{round_id:08d}/state"

    @staticmethod
    def receipt(round_id: int, client: str) -> str:
        return f"rounds/{round_id:08d}/receipts/{client}"

    @staticmethod
    def receipt_page(round_id: int, number: int | None = None) -> str:
        """The key of a page of receipts (`protocol.receipt_pages`), or the prefix of a round's."""
        return f"rounds/{round_id:08d}/receipt-pages/" + ("" if number is None else f"{number:02x}")

    @staticmethod
    def ledger(sequence: int) -> str:
        return f"ledger/{sequence:012d}"


class FederationScheduler:
    """The reference scheduler's three numbers, on an injected clock.

    round_duration: seconds a round; gossip_frequency: gossip rounds a federation round; aggregation_delay: seconds stragglers are awaited
    after the window's end. `tick(now)` only notes the time; `should_gossip` and `should_aggregate` answer for it.
    """

    def __init__(self, *, round_duration: float = 86_400.0, gossip_frequency: int = 5, aggregation_delay: float = 1_800.0, start: float = 0.0) -> None:
        if round_duration <= 0 or gossip_frequency < 0 or not 0 <= aggregation_delay < round_duration:
            raise ConfigError(
                f"round_duration {round_duration}, gossip_frequency {gossip_frequency}, aggregation_delay {aggregation_delay}",
                subject="FederationScheduler",
                remedy="The duration is positive, the frequency not negative, and the delay shorter than the duration",
            )
        self.round_duration, self.gossip_frequency, self.aggregation_delay = float(round_duration), int(gossip_frequency), float(aggregation_delay)
        self.round, self._start, self._now, self._gossiped = 1, float(start), float(start), 0

    def tick(self, now: float) -> None:
        """Note the time, in seconds on the clock that `start` is on. It never goes back."""
        self._now = max(self._now, float(now))

    @property
    def _elapsed(self) -> float:
        return self._now - self._start - (self.round - 1) * self.round_duration

    def should_gossip(self) -> bool:
        """True once for each of the `gossip_frequency` equal parts of the round that has begun."""
        due = min(self.gossip_frequency, int(self._elapsed / self.round_duration * self.gossip_frequency) + 1) if self.gossip_frequency else 0
        if self._gossiped < due:
            self._gossiped = due
            return True
        return False

    def should_aggregate(self) -> bool:
        """True where the window has ended and the stragglers' time is over."""
        return self._elapsed >= self.round_duration + self.aggregation_delay

    def advance_round(self) -> int:
        """Go on to the next round; its number."""
        self.round += 1
        self._gossiped = 0
        return self.round

    def schedule_of(self) -> dict[str, float]:
        """Interval in seconds of each Prefect schedule: open-round, gossip-round, federation-round; and the straggler wait of the last."""
        intervals = {"open-round": self.round_duration, "federation-round": self.round_duration, "aggregation_delay": self.aggregation_delay}
        if self.gossip_frequency:
            intervals["gossip-round"] = self.round_duration / self.gossip_frequency
        return intervals
