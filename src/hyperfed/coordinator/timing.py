"""Check a coordinator's instant before anything is decided by it (R-115, R-117).

1. A round whose window has not begun is neither opened nor run (`registry.windows`).
2. The store's own clock is compared where it has one (`storage.clock`).
3. The drop-box shows the time, too. A clock far ahead of everything in it is wrong, or the
   federation has paused; then the roots say so by a new version of the registry.
4. Where most clients that sent an update sent it from the future, this machine's clock is behind.
   One client alone cannot show that.
5. The clock is the machine's. Another one may be given to a dry run, or where the process that runs
   was itself started as a rehearsal: nobody can say so over Prefect's API.

What it does not do: read a clock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from hyperfed.config import Limits
from hyperfed.errors import ConfigError, RoundError
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import Plan
from hyperfed.registry.registry import Registry
from hyperfed.registry.windows import check_instant
from hyperfed.validator.admission import Admission
from hyperfed.validator.header import FROM_THE_FUTURE

__all__ = ["REHEARSAL", "check_not_behind", "check_not_far_ahead", "instant_of"]

REHEARSAL = "HYPERFED_REHEARSAL"
"""The environment variable of a process that may be given another clock, where it is 1."""


def instant_of(
    clock: datetime | None, actual: datetime, *, dry_run: bool, environment: Mapping[str, str]
) -> datetime:
    """Return the instant of a run: the machine's, or the clock that a rehearsal is given.

    clock: what the caller was told; None: nothing. actual: what the machine's clock says. Raises
    ConfigError where a run that writes is given a clock and is no rehearsal, and where the clock
    has no time zone.
    """
    if clock is None:
        return check_instant(actual)
    if not dry_run and environment.get(REHEARSAL) != "1":
        raise ConfigError(
            "is for dry runs and rehearsals; this run would write by it",
            subject=f"the clock {clock.isoformat()}",
            rule="R-117",
            remedy=f"Leave it out. A rehearsal's process is started with {REHEARSAL}=1",
        )
    return check_instant(clock)


def check_not_far_ahead(
    registry: Registry, ledger: Sequence[Chained], now: datetime, *, limits: Limits
) -> None:
    """Raise ConfigError where `now` is far ahead of everything in the drop-box (R-117).

    Entries of the ledger show the time, and so does the registry's newest version.
    """
    newest = max(
        [
            registry.issued,
            registry.genesis,
            *(c.entry.time for c in ledger if c.original is None),
        ],
        key=lambda moment: moment.timestamp(),
    )
    silent = timedelta(
        seconds=max(limits.silent_windows * registry.window_s, limits.silent_days * 86_400)
    )
    if now - newest > silent:
        raise ConfigError(
            f"this machine's clock says {now.isoformat(timespec='seconds')}, and nothing in the "
            f"drop-box is newer than {newest.isoformat(timespec='seconds')}",
            subject="the clock",
            rule="R-117",
            remedy="Set the clock (timedatectl set-ntp true). After a pause of the federation its "
            "roots publish a version of the registry first. Nothing was written",
        )


def check_not_behind(admission: Admission, plan: Plan, now: datetime) -> None:
    """Raise RoundError where most of the round's updates are from the future (R-117)."""
    admitted = {item.client for item in admission.admitted if item.made_for == plan.round}
    ahead = {
        refused.client
        for refused in admission.refused
        if refused.made_for == plan.round and refused.reason.endswith(FROM_THE_FUTURE)
    } - admitted
    if len(ahead) > max(1, len(admitted)):
        raise RoundError(
            f"by this machine's clock, {now.isoformat(timespec='seconds')}, the updates of "
            f"{len(ahead)} of {len(ahead | admitted)} clients are from the future",
            subject=f"round {plan.round}",
            rule="R-117",
            remedy="Set the clock (timedatectl set-ntp true). Nothing was decided",
        )
