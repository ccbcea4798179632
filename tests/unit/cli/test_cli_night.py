"""`hyperfed client night` and `client timer` take data, edges and engine as `hyperfed submit` does,
from options or from section [data].
"""

import importlib
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hyperfed.cli.app import app
from hyperfed.packets import Update
from hyperfed.validator.validator import PacketValidator
from tests.unit.cli.conftest import World

FILES = Path(__file__).parents[2] / "files"
ENGINE = """
from hyperfed.engines import Discovery
class Engine:
    def __init__(self, path=None): self.path = path
    def discover(self):
        names = ("output", "employment")
        ends = {"source": ["output"], "target": ["employment"], "lag": 1}
        return Discovery(variables=names, **ends, effect=0.5, confidence=0.9, stability=0.8)
"""


@pytest.fixture
def open_world(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world.federation.open(1)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("a_nights_engine", None)
    importlib.invalidate_caches()
    yield world
    sys.modules.pop("a_nights_engine", None)


def _sent(world: World, slot: int = 0) -> Update:
    key = f"inbox/00000001/texas/{slot}"
    data = world.federation.store.read(key, max_bytes=1 << 20)
    admitted = PacketValidator(world.federation.registry).reopen(
        data,
        key=key,
        client="texas",
        made_for=1,
        key_pair=world.federation.coordinator,
        base_of=lambda client, digest: None,
    )
    assert admitted.update is not None
    return admitted.update


def _settings(world: World, data: str) -> Path:
    path = world.desk.folder / "hyperfed.toml"
    path.write_text(f"{world.config('texas')}[data]\n{data}\n")
    return path


def _edges(world: World) -> Path:
    path = world.desk.folder / "found.csv"
    path.write_text(
        "source,target,lag,effect,confidence,stability\noutput,employment,1,0.5,0.9,0.8\n"
    )
    return path


@pytest.mark.parametrize(
    "header",
    ['year,output,"employment",unemployment', '"year","output","employment","unemployment"'],
)
def test_night_and_submit_read_a_header_alike(open_world: World, header: str) -> None:
    def quote(cells: list[list[str]]) -> None:
        for row in cells:
            del row[1:3]
        cells[0] = [header]

    data = open_world.data(change=quote)
    shown = open_world.desk.ok("submit", "--data", data, "--dry-run")
    assert shown["measured"] == ["output", "employment", "unemployment"]
    said = open_world.desk.ok("client", "night", "--data", data)["update"]
    assert said["edges"] == shown["edges_shared"] + shown["edges_estimated"]
    assert said["measured"] == shown["measured"]
    assert said["not_measured"] == ["public_capital", "private_capital"]
    assert _sent(open_world).measured.tolist() == [2, 3, 4]


@pytest.mark.parametrize("command", [("submit",), ("client", "night")])
def test_both_refuse_alike_and_nothing_moves(open_world: World, command: tuple[str, ...]) -> None:
    desk, before = open_world.desk, open_world.objects()
    for name, said in (
        ("another-case.csv", "did you mean 'output'?"),
        ("newest-first.csv", "line 3, column 'date'"),
        ("patients.csv", "nothing says that its rows are steps in time"),
    ):
        assert said in desk.fails(1, *command, "--data", FILES / name)["problem"]
    for path in (desk.folder / "missing.csv", desk.folder):
        assert "cannot be read" in desk.fails(2, *command, "--data", path)["problem"]
    assert open_world.objects() == before


def test_a_night_takes_every_option_of_submit(open_world: World) -> None:
    desk = open_world.desk
    desk.ok(
        "client",
        "night",
        "--data",
        open_world.data(),
        "--columns",
        "output,employment",
        "--bootstraps",
        "7",
        "--lags",
        "1",
        "--seed",
        "3",
    )
    update = _sent(open_world)
    assert update.measured.tolist() == [2, 3]
    assert update.edges is not None
    assert set((update.edges.stability * 7).round(6).tolist()) <= {float(i) for i in range(8)}, (
        "of seven resamples"
    )
    desk.ok(
        "client",
        "night",
        "--edges",
        _edges(open_world),
        "--measured",
        "output,employment,unemployment",
        "--correct",
    )
    assert _sent(open_world, 1).measured.tolist() == [2, 3, 4]
    (desk.folder / "a_nights_engine.py").write_text(ENGINE)
    desk.ok("client", "night", "--engine", "a_nights_engine:Engine", "--correct")
    assert _sent(open_world, 2).measured.tolist() == [2, 3]
    desk.ok("client", "night", "--data", FILES / "patients.csv", "--series", "--correct")
    assert _sent(open_world, 3).measured.tolist() == [2, 3, 4]


def test_a_nightly_command_is_short(open_world: World) -> None:
    """What stands in section [data] need not be said; paths are relative to hyperfed.toml."""
    desk = open_world.desk
    shutil.copy(FILES / "patients.csv", desk.folder / "rows.csv")
    _settings(
        open_world,
        'file = "rows.csv"\nseries = true\ncolumns = ["output", "unemployment"]\nbootstraps = 5',
    )
    assert desk.ok("submit", "--dry-run")["measured"] == ["output", "unemployment"]
    said = desk.ok("client", "night")["update"]
    assert said["measured"] == ["output", "unemployment"]
    assert _sent(open_world).measured.tolist() == [2, 4]
    told = desk("client", "timer", "--kind", "cron")
    assert told.code == 0
    assert "--data" not in told.out


def test_the_command_line_sets_aside_what_the_settings_say_of_another_source(
    open_world: World,
) -> None:
    desk = open_world.desk
    _settings(open_world, 'file = "rows.csv"\nseries = true\ncolumns = ["output", "unemployment"]')
    assert desk.ok("submit", "--edges", _edges(open_world), "--dry-run")["measured"] == [
        "output",
        "employment",
    ]
    assert desk.ok("submit", "--data", FILES / "patients.csv", "--dry-run")["measured"] == [
        "output",
        "unemployment",
    ]
    (desk.folder / "a_nights_engine.py").write_text(ENGINE)
    assert desk.ok("submit", "--engine", "a_nights_engine:Engine", "--dry-run")["measured"] == [
        "output",
        "employment",
    ]
    assert (
        "nothing says"
        in desk.fails(1, "submit", "--data", FILES / "patients.csv", "--no-series", "--dry-run")[
            "problem"
        ]
    )
    _settings(open_world, f'edges = "{_edges(open_world).name}"')
    assert desk.ok("submit", "--dry-run")["measured"] == ["output", "employment"]
    assert desk.ok("submit", "--data", FILES / "patients.csv", "--series", "--dry-run")[
        "measured"
    ] == ["output", "employment", "unemployment"]


def test_what_has_no_effect_is_refused(open_world: World) -> None:
    desk = open_world.desk
    for words, said in (
        (("--edges", "e.csv", "--columns", "output"), "--edges goes without --columns"),
        (("--engine", "m:f", "--lags", "3"), "--engine goes without --lags"),
        (("--data", "d.csv", "--measured", "output"), "--measured goes with --edges"),
        (("--columns", "output"), "no data are given"),
    ):
        for command in (("submit",), ("client", "night"), ("client", "timer")):
            assert said in desk.fails(2, *command, *words)["problem"]
    config = _settings(open_world, 'edges = "found.csv"\nseries = true')
    error = desk.fails(2, "submit")
    assert (error["problem"], error["subject"]) == (
        "[data] edges goes without [data] series",
        str(config),
    )
    for line, said in (
        ("bootstraps = 0", "whole number above 0"),
        ("lags = [-1]", "list of whole numbers"),
        ("lags = 2", "list of whole numbers"),
        ('series = "yes"', "true or false"),
        ('columns = "output"', "list of names"),
    ):
        _settings(open_world, line)
        assert said in desk.fails(2, "submit")["problem"]


def test_a_timer_says_again_what_it_was_told(open_world: World) -> None:
    """Its command line is taken by `client night`, its parameters by the flow."""
    desk = open_world.desk
    words = [
        "--data",
        open_world.data(),
        "--columns",
        "output,employment",
        "--bootstraps",
        "7",
        "--time",
        "year",
        "--no-series",
        "--lags",
        "1",
    ]
    text = desk.ok("client", "timer", "--kind", "systemd", *words)["text"]
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    night = shlex.split(line.removeprefix("ExecStart="))[1:]
    assert night[:2] == ["client", "night"]
    assert desk.ok(*night)["update"]["measured"] == ["output", "employment"]
    text = desk.ok("client", "timer", "--kind", "prefect", *words)["text"]
    (deployment,) = yaml.safe_load(text)["deployments"]
    assert deployment["parameters"] == {
        "config": str(desk.folder / "hyperfed.toml"),
        "data": str(desk.folder / "texas.csv"),
        "columns": ["output", "employment"],
        "bootstraps": 7,
        "time": "year",
        "series": False,
        "lags": [1],
        "model_folder": str(desk.folder / "model"),
    }
    text = desk.ok("client", "timer", "--kind", "prefect", "--engine", "a_nights_engine:Engine")[
        "text"
    ]
    assert (
        yaml.safe_load(text)["deployments"][0]["parameters"]["engine"] == "a_nights_engine:Engine"
    )


def test_the_three_commands_share_one_set_of_options() -> None:
    import click

    context = click.Context(app)

    def of(*path: str) -> set[str]:
        command: Any = app
        for name in path:
            command = command.get_command(context, name)
        return {parameter.name for parameter in command.params}

    data = {
        "data",
        "time",
        "series",
        "columns",
        "lags",
        "bootstraps",
        "seed",
        "engine",
        "edges",
        "measured",
    }
    for path in (("submit",), ("client", "night"), ("client", "timer")):
        assert data <= of(*path), path


def test_a_folder_for_the_model_that_is_a_file(world: World) -> None:
    world.night(1)
    world.federation.open(2)
    (world.desk.folder / "taken").touch()
    error = world.desk.fails(2, "client", "night", "--data", world.data(), "--out", "taken")
    assert "cannot be written" in error["problem"]
    assert error["subject"] == "taken"
