"""Keep the reference scheduler's three numbers on an injected clock.

The real clock is a Prefect schedule (`operations.schedules`). Source: DESIGN sections 3 and 4.
"""

from hyperfed.errors import ConfigError

__all__ = ["FederationScheduler"]


class FederationScheduler:
    """Answers, on an injected clock, when to gossip and when to aggregate.

    `tick(now)` only notes the time; `should_gossip` and `should_aggregate` answer for it.

    Args:
        round_duration: The length of a round, in seconds.
        gossip_frequency: The number of gossip rounds in a federation round.
        aggregation_delay: How long stragglers are awaited after the window's end, in seconds.
        start: The time at which the first round begins, in seconds.

    Raises ConfigError where these do not fit together.
    """

    def __init__(
        self,
        *,
        round_duration: float = 86_400.0,
        gossip_frequency: int = 5,
        aggregation_delay: float = 1_800.0,
        start: float = 0.0,
    ) -> None:
        if (
            round_duration <= 0
            or gossip_frequency < 0
            or not 0 <= aggregation_delay < round_duration
        ):
            raise ConfigError(
                f"round_duration {round_duration}, gossip_frequency {gossip_frequency}, "
                f"aggregation_delay {aggregation_delay}",
                subject="FederationScheduler",
                remedy=(
                    "Give a positive duration, a frequency of 0 or more, and a delay shorter "
                    "than the duration"
                ),
            )
        self.round_duration, self.gossip_frequency, self.aggregation_delay = (
            float(round_duration),
            int(gossip_frequency),
            float(aggregation_delay),
        )
        self.round, self._start, self._now, self._gossiped = 1, float(start), float(start), 0

    def tick(self, now: float) -> None:
        """Note the time, in seconds on the clock that `start` is on. It never goes back."""
        self._now = max(self._now, float(now))

    @property
    def _elapsed(self) -> float:
        """The time since the round began, in seconds."""
        return self._now - self._start - (self.round - 1) * self.round_duration

    def should_gossip(self) -> bool:
        """Return True once for each equal part of the round that has begun.

        A round has `gossip_frequency` such parts.
        """
        due = (
            min(
                self.gossip_frequency,
                int(self._elapsed / self.round_duration * self.gossip_frequency) + 1,
            )
            if self.gossip_frequency
            else 0
        )
        if self._gossiped < due:
            self._gossiped = due
            return True
        return False

    def should_aggregate(self) -> bool:
        """Return whether the window has ended and the stragglers' time is over."""
        return self._elapsed >= self.round_duration + self.aggregation_delay

    def advance_round(self) -> int:
        """Go on to the next round, and return its number."""
        self.round += 1
        self._gossiped = 0
        return self.round

    def schedule_of(self) -> dict[str, float]:
        """Return the interval of each Prefect schedule, in seconds, and the delay for stragglers.

        The schedules are open-round, federation-round and gossip-round (where there is gossip). The
        delay is that of federation-round, under the name aggregation_delay.
        """
        intervals = {
            "open-round": self.round_duration,
            "federation-round": self.round_duration,
            "aggregation_delay": self.aggregation_delay,
        }
        if self.gossip_frequency:
            intervals["gossip-round"] = self.round_duration / self.gossip_frequency
        return intervals
