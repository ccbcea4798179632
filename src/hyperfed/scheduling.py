"""When the flows run: the reference scheduler's three numbers as schedules of deployments.

1. `round_duration` is the window: open-round at its start, federation-round at its end. `gossip_frequency` is how many gossip rounds lie in one window.
   `aggregation_delay` is how long federation-round awaits stragglers: a parameter of its schedule, not a later start.
2. A schedule is an interval from an anchor on the windows' own grid, so that every run's instant lies in the window it stands for, in every time zone and
   across daylight saving. Where somebody wants wall-clock cron instead, deployments/prefect.yaml shows how.

What it does not do: talk to Prefect (`flows.service` applies them).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hyperfed.errors import ConfigError
from hyperfed.rounds import FederationScheduler, Windows

__all__ = ["MAX_DELAY_S", "Schedule", "schedules_of"]

MAX_DELAY_S = 3600.0  # the delay holds its thread and its slot; longer waits belong into the window


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One deployment's schedule: every `interval_s` seconds from `anchor` on, with these parameters."""

    deployment: str
    interval_s: float
    anchor: datetime
    parameters: dict[str, Any] = field(default_factory=dict)


def schedules_of(*, genesis: datetime, round_duration: float, gossip_frequency: int, aggregation_delay: float) -> list[Schedule]:
    """The schedules, in the order of a night. Numbers in seconds. Raises ConfigError where they do not fit each other."""
    if aggregation_delay > MAX_DELAY_S:
        raise ConfigError(
            f"an aggregation delay of {aggregation_delay:g} s; at most {MAX_DELAY_S:g} are waited in a running process",
            subject="schedule",
            remedy="A longer wait belongs into the window: let clients submit earlier, or make the window longer",
        )
    said = FederationScheduler(round_duration=round_duration, gossip_frequency=gossip_frequency, aggregation_delay=aggregation_delay).schedule_of()
    windows = Windows(genesis=genesis, window_s=int(round_duration))
    if windows.window_s != round_duration:
        raise ConfigError(f"a round of {round_duration:g} s", subject="schedule", remedy="A window is a whole number of seconds")
    out = [
        Schedule(deployment="open-round", interval_s=said["open-round"], anchor=windows.opens(1)),
        Schedule(
            deployment="federation-round",
            interval_s=said["federation-round"],
            anchor=windows.deadline(1),
            parameters={"aggregation_delay_s": said["aggregation_delay"]},
        ),
    ]
    if "gossip-round" in said:
        out.append(Schedule(deployment="gossip-round", interval_s=said["gossip-round"], anchor=genesis + timedelta(seconds=said["gossip-round"]) / 2))
    return out
