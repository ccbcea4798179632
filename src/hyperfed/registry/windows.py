"""Convert between round numbers and time windows, and check client ids.

1. A round's number is the count of windows since genesis: round r is [genesis + (r-1) * window,
   genesis + r * window), r >= 1.
2. A round's deadline is its window's end. Nobody counts rounds: everybody computes their numbers.
3. `close_by` is by default the next round's deadline. Until then a failed round may be retried;
   after it the round is void.

Source: DESIGN sections 3 and 4.

What it does not do: read a clock (time is an argument), or start anything (the real clock is a
Prefect schedule).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hyperfed.errors import ConfigError, RoundError

__all__ = ["Windows", "check_client_id", "check_instant", "is_client_id"]


def check_instant(moment: datetime) -> datetime:
    """Return `moment` if it has a time zone. Raises ConfigError for a naive one."""
    if moment.tzinfo is None:
        raise ConfigError(
            "has no time zone, so it names no instant",
            subject=moment.isoformat(),
            remedy="Add one, such as +00:00",
        )
    return moment


def check_client_id(client_id: str) -> str:
    """Return `client_id` if it is 3 to 32 of [a-z0-9_-] and starts with a letter or a digit.

    Raises ConfigError for anything else. So path tricks and letters that look alike cannot be
    spelled (R-22). Ids that differ in '_' and '-' alone are refused by the registry.
    """
    if not (
        3 <= len(client_id) <= 32
        and all(c in "abcdefghijklmnopqrstuvwxyz0123456789_-" for c in client_id)
        and client_id[0] not in "_-"
    ):
        raise ConfigError(
            "not a client id",
            subject=repr(client_id)[:60],
            rule="R-22",
            remedy="Use 3 to 32 of a-z, 0-9, '-' and '_', starting with a letter or a digit",
        )
    return client_id


def is_client_id(text: str) -> bool:
    """Return whether `check_client_id` accepts `text`.

    A folder of the drop-box may be called anything, so its name may have to be tested.
    """
    try:
        check_client_id(text)
    except ConfigError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Holds the federation's genesis and window, by which rounds are computed.

    Raises ConfigError where a field does not fit.
    """

    genesis: datetime
    """Instant at which round 1 opens, with a time zone."""
    window_s: int
    """Length of a window in seconds, at least 1."""

    def __post_init__(self) -> None:
        if self.genesis.tzinfo is None:
            raise ConfigError("genesis needs a time zone", subject=self.genesis.isoformat())
        if self.window_s < 1:
            raise ConfigError(f"a window of {self.window_s} s; at least 1 is needed")

    def round_at(self, now: datetime) -> int:
        """Return the number of the window that `now` lies in. Raises ConfigError before genesis."""
        elapsed = check_instant(now) - self.genesis
        if elapsed < timedelta(0):
            raise ConfigError(
                f"genesis is {self.genesis.isoformat()}, after {now.isoformat()}",
                subject="round",
                remedy="Check this machine's clock",
            )
        return elapsed // timedelta(seconds=self.window_s) + 1

    def check_begun(
        self, round_id: int, now: datetime, *, subject: str = "", skew_s: int = 0
    ) -> None:
        """Raise RoundError where a round has not begun at `now` (R-115).

        subject: the object that speaks for the round; by default the round itself. skew_s: by how
        many seconds this machine's clock may be behind. Raises ConfigError where the number is no
        round's.
        """
        if type(round_id) is not int or round_id < 1:
            raise ConfigError(
                f"{round_id!r:.40} is no round's number",
                subject="round",
                remedy="Give a whole number: rounds are counted from 1",
            )
        ahead = check_instant(now) + timedelta(seconds=skew_s)
        running = self.round_at(ahead) if ahead >= self.genesis else 0
        if round_id > running:
            raise RoundError(
                "has not begun"
                if not subject
                else f"speaks for round {round_id}, which has not begun",
                subject=subject or f"round {round_id}",
                rule="R-115",
                remedy=f"At {now.isoformat(timespec='seconds')} "
                + (f"round {running} runs. " if running else "no round has begun. ")
                + (
                    "Whoever wrote it has a wrong clock, or the coordinator's key: tell the "
                    "registry's roots, who annul ledger entries (`hyperfed registry annul`)"
                    if subject
                    else "Nothing was written; check the number, and this machine's clock"
                ),
            )

    def opens(self, round_id: int) -> datetime:
        return self.genesis + timedelta(seconds=self.window_s) * (round_id - 1)

    def deadline(self, round_id: int) -> datetime:
        return self.opens(round_id + 1)

    def ended_at(self, now: datetime) -> int:
        """Return the newest round whose window has ended at `now`; 0 in the first window.

        This is the round that a run at `now` is for.
        """
        return self.round_at(now) - 1
