"""A federation on a folder, and `hyperfed` as each of its parties runs it: real commands, real
files, an injected clock.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import nacl.pwhash
import pytest
from click.testing import CliRunner

from hyperfed.cli import app
from hyperfed.cli.invocation import Invocation
from hyperfed.demo import VARIABLES, series
from hyperfed.registry.registry import Budget
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

CLIENTS = ("iowa", "ohio", "texas")


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        return dict(self.json["error"])


class Desk:
    """Where one person types `hyperfed`: a folder, a clock, and the commands. `now` is what every
    command believes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, datetime.fromisoformat("2026-01-01T12:00:00+00:00")

    def __call__(
        self, *args: str | Path, env: dict[str, str] | None = None, stdin: str | None = None
    ) -> Ran:
        """Run a command; it may end in no other way than by an exit code, and never with a
        traceback.
        """
        ran = CliRunner().invoke(app, [str(arg) for arg in args], env=env, input=stdin)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exc_info
        assert "Traceback" not in ran.output
        return Ran(ran.exit_code, ran.stdout, ran.stderr)

    def ok(self, *args: str | Path, **options: Any) -> Any:
        """Run a command with --json that must succeed; its document."""
        ran = self(*args, "--json", **options)
        assert ran.code == 0, ran.out + ran.err
        assert ran.json["ok"] is True
        return ran.json

    def fails(self, code: int, *args: str | Path, **options: Any) -> dict[str, str]:
        """Run a command twice, for a program and for a person; both must fail with `code` and say
        the same. The error's document.
        """
        ran, told = self(*args, "--json", **options), self(*args, **options)
        assert (ran.code, told.code) == (code, code), ran.out + ran.err + told.err
        assert ran.json["ok"] is False
        assert ran.json["exit_code"] == code
        assert told.out == "", "errors go to stderr"
        assert ran.error["problem"] in told.err
        return ran.error


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk in an empty folder, with nobody's configuration at hand."""
    here = Desk(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    # Argon2id as cheap as it gets: what it costs an attacker is not what these tests are about.
    monkeypatch.setattr("nacl.pwhash.argon2id.OPSLIMIT_MODERATE", nacl.pwhash.argon2id.OPSLIMIT_MIN)
    monkeypatch.setattr("nacl.pwhash.argon2id.MEMLIMIT_MODERATE", nacl.pwhash.argon2id.MEMLIMIT_MIN)
    for name in list(os.environ):
        if name.startswith("HYPERFED_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(Invocation, "now", property(lambda _: here.now))
    return here


class World:
    """Three states and their coordinator around one folder. `texas` and `operator` have a
    hyperfed.toml each.
    """

    def __init__(self, desk: Desk, *, budget: Budget | None = None) -> None:
        self.desk, self.box = desk, desk.folder / "box"
        self.box.mkdir()
        self.federation = SmallFederation(
            clients=CLIENTS,
            store=FilesystemStore(self.box),
            vocabulary=Vocabulary.of(*VARIABLES, domain="economics"),
            budget=budget,
        )
        for client in CLIENTS:
            self.federation.keys[client].save(desk.folder / f"{client}.key")
        self.federation.coordinator.save(desk.folder / "coordinator.key")
        self.at(1)
        (desk.folder / "hyperfed.toml").write_text(self.config("texas"))

    def config(self, client: str) -> str:
        return (
            '[store]\nurl = "file:box"\n[federation]\nfingerprint = '
            f'"{self.federation.fingerprint}"\n[client]\nid = "{client}"\nkey = "{client}.key"\n'
        )

    def at(self, round_id: int) -> None:
        """Set the clock an hour into a round's window."""
        self.desk.now = self.federation.opens(round_id) + timedelta(hours=1)

    def data(
        self,
        client: str = "texas",
        *,
        name: str | None = None,
        change: Callable[[list[list[str]]], None] | None = None,
    ) -> Path:
        """A state's series as CSV with a column of years; `change` edits its cells, header
        included.
        """
        cells = [
            ["year", *VARIABLES],
            *(
                [str(1971 + i), *(repr(float(v)) for v in row)]
                for i, row in enumerate(series(client))
            ),
        ]
        if change is not None:
            change(cells)
        path = self.desk.folder / (name or f"{client}.csv")
        path.write_text("\n".join(",".join(row) for row in cells) + "\n")
        return path

    def objects(self) -> dict[str, bytes]:
        return self.federation.objects()

    def files(self) -> dict[str, bytes]:
        """Every file on the desk outside the drop-box: what a command that failed must not have
        changed.
        """
        found = (
            p for p in self.desk.folder.rglob("*") if p.is_file() and self.box not in p.parents
        )
        return {str(p.relative_to(self.desk.folder)): p.read_bytes() for p in found}

    def night(self, round_id: int = 1) -> None:
        """Everyone submits on the command line, and the coordinator runs the round."""
        self.federation.open(round_id)
        self.at(round_id)
        for client in CLIENTS:
            self.desk.ok(
                "submit",
                "--data",
                self.data(client),
                "--client-id",
                client,
                "--key",
                f"{client}.key",
                "--memory",
                f"{client}.memory.json",
                "--bootstraps",
                "20",
            )
        self.federation.run(round_id)
        self.at(round_id + 1)


@pytest.fixture
def world(desk: Desk) -> World:
    return World(desk)
