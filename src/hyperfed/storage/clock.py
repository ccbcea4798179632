"""Compare this machine's clock with the store's, before anything is signed.

1. Every answer over HTTP has a date. What an adapter saw last stands in `clock_skew_s` of its
   store; a folder and a store in memory have no clock of their own.
2. A clock that is off by more than the federation tolerates would sign what others refuse hours
   later. So the difference is reported at once, as the store's word against the machine's.

What it does not do: say who of the two is right.
"""

import email.utils
from datetime import UTC, datetime

from hyperfed.errors import ClockError
from hyperfed.storage.store import ObjectStore

__all__ = ["check_clock", "said_of", "skew_s"]


def skew_s(date: str, age: str, now: datetime) -> float | None:
    """Return by how many seconds `now` is ahead of an HTTP answer; None: its date says nothing.

    `date` and `age` are the headers of these names; both count whole seconds. A cache on the way
    gives an old answer its age.
    """
    moment = None
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError):
        try:
            moment = datetime.fromisoformat(date.strip())
        except ValueError:
            return None
    if moment.tzinfo is None:  # "-0000": UTC, from an unknown zone
        moment = moment.replace(tzinfo=UTC)
    cached_s = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
    return (now - moment).total_seconds() - cached_s


def said_of(skew: float) -> str:
    """Return a clock's skew in words."""
    return f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the store's"


def check_clock(store: ObjectStore, *, most_s: float) -> None:
    """Raise ClockError where the clocks differ by more than `most_s` seconds."""
    skew = store.clock_skew_s
    if skew is not None and abs(skew) > most_s:
        raise ClockError(
            f"this machine's clock is {said_of(skew)}; {most_s:.0f} s are tolerated",
            subject=store.location,
            remedy="Set the clock (timedatectl set-ntp true), or tell the operator that the "
            "store's is wrong. Nothing was signed",
        )
