"""What runs a client every night, read back by what will read it, with odd paths."""

import os
import shlex
import shutil
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from hyperfed.cli.client.timers import Times, timer_text
from hyperfed.errors import ConfigError
from tests.unit.cli.conftest import World

ODD = ("/srv/a b/é%d/$HOME", "/srv/x: y/#z", "/srv/'quoted\"/back\\slash", "/srv/{brace}, [list]")
EVERY_HOUR = ",".join(f"{hour:02d}" for hour in range(24))
UTC_PLUS_2 = timezone(timedelta(hours=2), "CEST")
SUMMER = datetime(2027, 7, 1, 12, tzinfo=UTC_PLUS_2)


def text_of(kind: str, *paths: str, times: Times | None = None, here: datetime = SUMMER) -> str:
    return timer_text(
        kind,
        times=times or Times.of("20:00", 86_400),
        words=["/usr/bin/hyperfed", "client", "night", *paths],
        parameters={"config": Path(paths[0]), "columns": list(paths), "series": True},
        here=here,
    )


def test_yaml_is_read_back_as_it_was_given() -> None:
    (deployment,) = yaml.safe_load(text_of("prefect", *ODD))["deployments"]
    assert deployment["parameters"] == {"config": ODD[0], "columns": list(ODD), "series": True}
    assert deployment["schedules"] == [{"cron": "0 20 * * *", "timezone": "UTC"}]


def test_a_cron_line_is_in_local_time_and_says_so() -> None:
    said, _, line = text_of("cron", *ODD).splitlines()
    assert said.startswith("# 20:00:00 UTC; cron runs in this machine's time zone, now CEST")
    assert "CRON_TZ" not in line
    assert line.startswith("0 22 * * * ")
    command = line.removeprefix("0 22 * * * ").replace(r"\%", "%")
    words = shlex.split(command)
    assert words[3 : 3 + len(ODD)] == list(ODD)


@pytest.mark.parametrize(
    ("moment", "every_s", "offset", "cron", "calendar"),
    [
        ("23:30", 86_400, 1, "30 0 * * *", "*-*-* 23:30:00"),
        ("02:15", 86_400, -5, "15 21 * * *", "*-*-* 02:15:00"),
        ("20:00", 21_600, 1, "0 3,9,15,21 * * *", "*-*-* 02,08,14,20:00:00"),
        ("20:10", 21_600, 5.5, "40 1,7,13,19 * * *", "*-*-* 02,08,14,20:10:00"),
        (
            "20:05",
            3600,
            2,
            "5 * * * *",
            f"*-*-* {EVERY_HOUR}:05:00",
        ),
        ("00:05", 900, 5.75, "5,20,35,50 * * * *", f"*-*-* {EVERY_HOUR}:05,20,35,50:00"),
        ("00:05", 1800, 5.25, "20,50 * * * *", f"*-*-* {EVERY_HOUR}:05,35:00"),
        ("Sun 23:00", 604_800, 2, "0 1 * * 1", "Sun *-*-* 23:00:00"),
        ("Mon 01:00", 604_800, -2, "0 23 * * 0", "Mon *-*-* 01:00:00"),
    ],
)
def test_the_instants_are_the_same_in_every_form(
    moment: str, every_s: int, offset: float, cron: str, calendar: str
) -> None:
    times = Times.of(moment, every_s)
    assert times.calendar == calendar
    assert times.ahead(timedelta(hours=offset)).cron == cron


@pytest.mark.parametrize(
    ("moment", "every_s"),
    [("25:00", 86_400), ("Xyz 20:00", 604_800), ("20:00", 604_800), ("Mon 20:00", 86_400)]
    + [("20:00", every_s) for every_s in (5400, 18_000, 36 * 3600, 2 * 86_400, 30 * 86_400)],
)
def test_times_that_no_calendar_has_are_refused(moment: str, every_s: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Times.of(moment, every_s)
    assert caught.value.remedy


@pytest.mark.parametrize("kind", ["systemd", "cron", "prefect"])
def test_a_line_break_in_a_path_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match="no line of a timer or a unit can hold"):
        text_of(kind, "/srv/a\nb")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "HYPERFED_CI" not in os.environ,
    reason="systemd is not here",
)
@pytest.mark.parametrize(("moment", "every_s"), [("20:00", 86_400), ("Mon 2:00", 604_800)])
def test_units_pass_systemds_own_check(tmp_path: Path, moment: str, every_s: int) -> None:
    program = tmp_path / "a b" / "hyperfed"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = timer_text(
        "systemd",
        times=Times.of(moment, every_s),
        words=[str(program), "client", "night", *ODD],
        parameters={},
        here=SUMMER,
    )
    assert '"/srv/a b/é%%d/$$HOME"' in text, "systemd would put values in place of these"
    service, timer = text.split("# /etc/systemd/system/hyperfed-night.timer\n")
    units = (tmp_path / "hyperfed-night.service", tmp_path / "hyperfed-night.timer")
    for path, unit in zip(units, (service, timer), strict=True):
        path.write_text(unit)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert "hyperfed-night" not in ran.stderr, ran.stderr
    calendar = next(line for line in timer.splitlines() if line.startswith("OnCalendar="))
    subprocess.run(
        ["systemd-analyze", "calendar", calendar.partition("=")[2]],
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_the_command_offers_windows_of_other_lengths(world: World) -> None:
    data = world.data()
    texts = [
        world.desk.ok("client", "timer", "--data", data, *more)["text"]
        for more in ((), ("--window", "6h", "--at", "1:00"), ("--window", "7d"))
    ]
    assert [
        line.partition("=")[2]
        for text in texts
        for line in text.splitlines()
        if line.startswith("OnCalendar=")
    ] == ["*-*-* 20:00:00 UTC", "*-*-* 01,07,13,19:00:00 UTC", "Mon *-*-* 20:00:00 UTC"]
