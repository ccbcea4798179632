"""Write how a machine runs a client's night, gossip or help, as text for systemd, cron or Prefect.

1. Times are given in UTC, as windows are. systemd's timer and Prefect's schedule name UTC
   themselves. cron runs in the machine's own zone, and Debian's knows no CRON_TZ, so its line holds
   the local time. A remark above it says which zone that is, and what a change of clocks does.
2. A client's night runs once a window: every day, every few hours, or every week. Its gossip, and
   its help with secure sums, run several times a window (`GOSSIP`, `HELPING`).
3. A lost connection is tried again. systemd starts the night up to 20 times in four hours, cron
   tries once more after ten minutes, and Prefect retries its tasks. A repeated night sends nothing
   twice. What comes several times an hour is not tried again before it comes.
4. Each text is quoted by the rules of what reads it, whatever characters the paths have.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hyperfed.cli.systemd import check_words, systemd_command
from hyperfed.errors import ConfigError

__all__ = ["FLOW_NAMES", "GOSSIP", "HELPING", "NIGHT", "Job", "Times", "timer_text"]

FLOW_NAMES = {"file": "data"}
"""The settings that the flow calls by another name."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_S, _WEEK_S = 86_400, 7 * 86_400
_PARTS_OF_AN_HOUR = (600, 900, 1200, 1800)

_SYSTEMD = """# /etc/systemd/system/{unit}.service
[Unit]
Description=Hyperfed: a client's {what}
Wants=network-online.target
After=network-online.target
{limits}
[Service]
Type=oneshot
ExecStart={command}
{restart}NoNewPrivileges=yes
PrivateTmp=yes

# /etc/systemd/system/{unit}.timer
[Unit]
Description=Hyperfed: a client's {what}

[Timer]
OnCalendar={when}
RandomizedDelaySec={jitter}
Persistent=true

[Install]
WantedBy=timers.target

# then: systemctl daemon-reload && systemctl enable --now {unit}.timer"""

_CRON = """# {said} UTC; cron runs in this machine's time zone, now {zone}
# Where its clocks change, write the line anew, or use --kind systemd, whose timer is in UTC.
{when} {command}{again}"""
_LIMITS = "StartLimitIntervalSec=4h\nStartLimitBurst=20\n"
_RESTART = "Restart=on-failure\nRestartSec=10min\n"

_PREFECT = """# beside deployments/prefect.yaml; then:
# prefect --no-prompt deploy --name {deployment} --prefect-file THIS-FILE
# Runs are taken by: hyperfed service worker --pool hyperfed-client --config YOUR-HYPERFED.TOML
pull:
  - prefect.deployments.steps.set_working_directory: {{directory: "{{{{ $HYPERFED_CHECKOUT }}}}"}}
deployments:
  - name: {deployment}
    entrypoint: {entrypoint}
    parameters: {{{parameters}}}
    work_pool: {{name: hyperfed-client}}
    concurrency_limit: {{limit: 1, collision_strategy: ENQUEUE}}
    schedules:
      - {{cron: "{when}", timezone: UTC}}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Describes what a timer runs."""

    what: str
    """Its name in words."""
    unit: str
    """The name of its systemd units."""
    deployment: str
    """The name of its Prefect deployment."""
    entrypoint: str
    """Where its flow is."""
    often: bool = False
    """Whether it comes so often that its next run is its retry."""


NIGHT = Job(
    what="night",
    unit="hyperfed-night",
    deployment="client-night",
    entrypoint="flows/client_night.py:client_night",
)
GOSSIP = Job(
    what="gossip",
    unit="hyperfed-gossip",
    deployment="gossip-round",
    entrypoint="flows/gossip_round.py:gossip_round",
)


HELPING = Job(
    what="help with secure sums",
    unit="hyperfed-helper",
    deployment="helper-night",
    entrypoint="flows/helper_night.py:helper_night",
    often=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Holds when a client runs, in UTC or in a zone that is ahead of it."""

    minute: int
    """Minute of the hour."""
    hours: tuple[int, ...]
    """Hours of the day, ascending."""
    day: int | None = None
    """Day of the week, 0 for Monday; None: every day."""
    every_min: int = 60
    """How many minutes lie between two runs in an hour; 60: there is one."""

    @classmethod
    def of(cls, moment: str, every_s: float) -> "Times":
        """Return the times that start at `moment` and come every `every_s` seconds.

        `moment` is HH:MM in UTC, for a week with the day before it: "Mon 20:00". Raises ConfigError
        for another form, and for a length of time that no calendar repeats.
        """
        match = re.fullmatch(r"(?:([A-Z][a-z]{2}) )?([01]?\d|2[0-3]):([0-5]\d)", moment)
        if match is None or (match[1] and match[1] not in _DAYS):
            raise ConfigError(
                f"{moment!r:.20} is no time of day",
                subject="--at",
                remedy="Write it as 20:00, or as 'Mon 20:00' for a week",
            )
        if bool(match[1]) != (every_s == _WEEK_S):
            raise ConfigError(
                "a day of the week belongs to a window of a week, and only to it",
                subject=f"--at {moment}",
                remedy="Give --window 7d with a day ('Mon 20:00'), and no day otherwise",
            )
        if every_s in _PARTS_OF_AN_HOUR:
            every_min = int(every_s) // 60
            minute = int(match[3]) % every_min
            return cls(minute=minute, hours=tuple(range(24)), every_min=every_min)
        if every_s != _WEEK_S and (every_s % 3600 or _DAY_S % every_s):
            raise ConfigError(
                f"{every_s:.0f} s are no part of a day that a calendar repeats",
                subject="--window",
                remedy=(
                    "Give 1, 2, 3, 4, 6, 8, 12 or 24 hours, or 7 days. For other windows let a "
                    "program run `hyperfed client night`, which sends nothing twice"
                ),
            )
        step = 24 if every_s == _WEEK_S else int(every_s) // 3600
        return cls(
            minute=int(match[3]),
            hours=tuple(range(int(match[2]) % step, 24, step)),
            day=_DAYS.index(match[1]) if match[1] else None,
        )

    def ahead(self, offset: timedelta) -> "Times":
        """Return the same instants by a clock that is ahead of UTC by `offset`.

        For offsets that are no whole minutes the seconds are dropped.
        """
        starts = [
            hour * 60 + self.minute + int(offset.total_seconds() // 60) for hour in self.hours
        ]
        days = starts[0] // (24 * 60)
        return Times(
            minute=starts[0] % self.every_min,
            hours=tuple(sorted(start // 60 % 24 for start in starts)),
            day=None if self.day is None else (self.day + days) % 7,
            every_min=self.every_min,
        )

    @property
    def _minutes(self) -> range:
        return range(self.minute, 60, self.every_min)

    @property
    def calendar(self) -> str:
        """The times in the form of systemd's OnCalendar."""
        day = "" if self.day is None else f"{_DAYS[self.day]} "
        hours, minutes = (
            ",".join(f"{one:02d}" for one in some) for some in (self.hours, self._minutes)
        )
        return f"{day}*-*-* {hours}:{minutes}:00"

    @property
    def cron(self) -> str:
        """The times in the form of cron's five fields."""
        day = "*" if self.day is None else str((self.day + 1) % 7)
        hours = "*" if len(self.hours) == 24 else ",".join(map(str, self.hours))
        return f"{','.join(map(str, self._minutes))} {hours} * * {day}"


def timer_text(
    kind: str,
    *,
    times: Times,
    words: Sequence[str],
    parameters: Mapping[str, Any],
    here: datetime,
    job: Job = NIGHT,
) -> str:
    """Return the text for `kind`, which is systemd, cron or prefect.

    `words` are the job's command line, and `parameters` are the same for its flow.
    `here` is an instant in this machine's time zone, for cron. Raises ConfigError for a word with a
    line break, which no line can hold.
    """
    check_words(words)
    if kind == "systemd":
        return _SYSTEMD.format(
            command=systemd_command(words),
            when=f"{times.calendar} UTC",
            unit=job.unit,
            what=job.what,
            limits="" if job.often else _LIMITS,
            restart="" if job.often else _RESTART,
            jitter="2min" if job.often else "10min",
        )
    if kind == "cron":
        offset = here.utcoffset() or timedelta()
        command = shlex.join(words).replace("%", r"\%")
        return _CRON.format(
            command=command,
            again="" if job.often else f" || (sleep 600 && {command})",
            when=times.ahead(offset).cron,
            said=times.calendar.replace("*-*-* ", ""),
            zone=f"{here.tzname()}, UTC{here.strftime('%z')}",
        )
    shown_parameters = ", ".join(
        f"{FLOW_NAMES.get(name, name)}: {_yaml(value)}" for name, value in parameters.items()
    )
    return _PREFECT.format(
        when=times.cron,
        parameters=shown_parameters,
        deployment=job.deployment,
        entrypoint=job.entrypoint,
    )


def _yaml(value: Any) -> str:
    """Return a value for a YAML mapping on one line: JSON is YAML."""
    return json.dumps(value, default=str)
