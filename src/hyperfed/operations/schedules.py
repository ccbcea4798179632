"""Schedule the flows: turn the reference scheduler's numbers into schedules of deployments.

1. `round_duration` is the window: open-round runs at its start and federation-round at its end.
   `aggregation_delay` is how long federation-round awaits stragglers. It is a parameter of that
   flow, and does not make it start later.
2. `gossip_frequency` is how many epochs of gossip a round has: gossip-round runs in equal parts of
   the window, from its start. It is a client's own choice, so nobody has it without asking for it.
3. A schedule is an interval from an anchor on the windows' own grid. Every run's instant therefore
   lies in the window that it stands for, whatever the window's length, the time zone and daylight
   saving.
4. Unless somebody says how long stragglers are awaited, it is half an hour, or a quarter of the
   window where that is shorter.

What it does not do: talk to Prefect (`flows.service` applies the schedules).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hyperfed.errors import ConfigError
from hyperfed.gossip.terms import EPOCHS
from hyperfed.registry.windows import Windows
from hyperfed.scheduler import FederationScheduler

__all__ = ["MAX_DELAY_S", "Schedule", "default_delay_s", "schedules_of"]

MAX_DELAY_S = 3600.0  # a delay holds a thread and a slot, so longer waits belong in the window
_DELAY_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Says when one deployment runs."""

    deployment: str
    """The deployment's name."""
    interval_s: float
    """The seconds from one run to the next."""
    anchor: datetime
    """The instant of one run, from which the others are counted."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """The parameters that every run is given."""


def default_delay_s(window_s: float) -> float:
    """Return for how many seconds stragglers are awaited unless somebody says otherwise.

    The delay is shorter than every window.
    """
    return min(_DELAY_S, window_s / 4)


def schedules_of(
    *,
    genesis: datetime,
    round_duration: float,
    aggregation_delay: float | None = None,
    gossip_frequency: int = 0,
) -> list[Schedule]:
    """Return the schedules, in the order in which a round needs them.

    Args:
        genesis: When the first window opens.
        round_duration: The window's length in seconds, a whole number.
        aggregation_delay: How long stragglers are awaited, in seconds, at most an hour and less
            than the window; None: `default_delay_s`.
        gossip_frequency: How many epochs of gossip a round has; 0: none.

    Raises ConfigError where the numbers do not fit.
    """
    windows = Windows(genesis=genesis, window_s=int(round_duration))
    if windows.window_s != round_duration:
        raise ConfigError(
            f"a round of {round_duration:g} s",
            subject="schedule",
            remedy="Give a whole number of seconds",
        )
    delay_s = default_delay_s(round_duration) if aggregation_delay is None else aggregation_delay
    if delay_s > MAX_DELAY_S:
        raise ConfigError(
            f"an aggregation delay of {delay_s:g} s; at most {MAX_DELAY_S:g} are waited in a "
            "running process",
            subject="schedule",
            remedy=(
                "Let clients submit earlier, or make the window longer, which is where a longer "
                "wait belongs"
            ),
        )
    if not 0 <= delay_s < round_duration:
        raise ConfigError(
            f"an aggregation delay of {delay_s:g} s in a window of {round_duration:g} s",
            subject="schedule",
            remedy=(
                "Give one that ends before the next window does; leave --aggregation-delay out "
                f"for {default_delay_s(round_duration):g} s"
            ),
        )
    if not 0 <= gossip_frequency <= EPOCHS:
        raise ConfigError(
            f"{gossip_frequency} epochs of gossip a round; a round has 0 to {EPOCHS}",
            subject="schedule",
            remedy="Give fewer: 7 bring 48 clients to a hundredth of what they differed by",
        )
    settings = FederationScheduler(
        round_duration=round_duration,
        gossip_frequency=gossip_frequency,
        aggregation_delay=delay_s,
    ).schedule_of()
    gossip = [
        Schedule(deployment=name, interval_s=settings[name], anchor=windows.opens(1))
        for name in ("gossip-round",)
        if name in settings
    ]
    return [
        Schedule(
            deployment="open-round", interval_s=settings["open-round"], anchor=windows.opens(1)
        ),
        Schedule(
            deployment="federation-round",
            interval_s=settings["federation-round"],
            anchor=windows.deadline(1),
            parameters={"aggregation_delay_s": settings["aggregation_delay"]},
        ),
        *gossip,
    ]
