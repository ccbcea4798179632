"""docs/operations.md as an operator follows it: every command of the page, in its order, against
SeaweedFS, a Prefect server and a worker.

1. Each desk (operator, roots, hospital, a new machine) is a folder with its own settings and an
   access key that may do what `hyperfed iam` prints for it.
2. Names that only stand for something are replaced by what they stand for (`STANDS_FOR`); files
   that one desk sends to another are carried there.
3. What a night needs besides the page's commands (the scheduler's runs, at their instants) is done
   by `Page.before`.
4. What is not run here says why in `ELSEWHERE`.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, chdir, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hyperfed.cli.app import app
from hyperfed.dev.processes import Process
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.testing.seaweedfs import SeaweedFS, free_ports
from tests.installation.postgres import postgresql
from tests.installation.receivers import mail_server, web_server
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.seaweedfs, pytest.mark.timeout(900)]
CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "operations.md"
BIN = Path(sys.executable).parent
LOGIN = "operator:a-long-secret"
CLIENT_DESK = ("client", "enroll", "status", "keygen hospital")
ROOTS_DESK = ("registry init", "registry sign", "registry publish", "keygen root")
ELSEWHERE = {
    "make ": "tests/installation/test_dev.py runs what is behind up and down; setup made this "
    "environment",
    "--below ": "two federations: tests/unit/engines/test_federation_engine.py and "
    "tests/flow/test_other_flows.py",
}
SECTIONS_ELSEWHERE = {
    "A first night without Prefect": "tests/unit/cli/test_cli_without_prefect.py",
    "When the roots speak again": "tests/unit/cli/test_cli_registry_mending.py",
}
CONFIRMED = ("registry add", "registry sign", "registry revoke")
# these need no process of their own, whose start is most of what they take
HERE = ("iam ", "keygen ", "client timer ", "schedule --round-duration")


def lines_of(page: str) -> list[tuple[str, str]]:
    """(section, command) of the page's indented lines: hyperfed, prefect and make, in order."""
    section, found = "", []
    for line in page.splitlines():
        if line.startswith("## "):
            section = line[3:]
        match = re.match(r" {4,}((?:[A-Z_]+=\S+ )*(?:hyperfed|prefect|make) .*?)(?:\s+#.*)?$", line)
        if match and section not in SECTIONS_ELSEWHERE:
            found.append((section, match[1]))
    return found


class Page:
    """The sandbox: desks, servers, and what the page's example names stand for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.web, self.mail = stack.enter_context(web_server()), stack.enter_context(mail_server())
        self.databases = stack.enter_context(postgresql("prefect", "restored"))
        self.port = free_ports(["prefect"])["prefect"]
        self.identities: dict[str, list[str]] = {}
        self.store: SeaweedFS | None = None
        self.server: Process | None = None
        self.worker: Process | None = None
        self.fingerprint = ""
        self.operator = "operator"
        self.ran: list[str] = []
        self.said: dict[str, Any] = {}
        for name in ("operator", "roots", "hospital", "elsewhere", "restored"):
            (folder / name).mkdir()

    # -- servers -----------------------------------------------------------------------------------

    def environment(self, home: str) -> dict[str, str]:
        """What the page's text and its block of settings say, with this sandbox's addresses;
        without PostgreSQL its line is left out.
        """
        block = re.findall(r"^ +(PREFECT_[A-Z_]+=\S+)", PAGE.read_text(), re.MULTILINE)
        said = dict(line.split("=", 1) for line in block)
        assert set(said) >= {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL",
            "PREFECT_SERVER_API_AUTH_STRING",
        }
        database = said.pop("PREFECT_SERVER_DATABASE_CONNECTION_URL")
        assert database.startswith("postgresql+asyncpg://")
        if self.databases is not None:
            said["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = self.databases[home]
        own = {
            "PREFECT_HOME": str(self.folder / "prefect" / home),
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_CLI_PROMPT": "false",
        }
        used = {
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_API_AUTH_STRING": LOGIN,
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        }
        return (
            said
            | own
            | used
            | {"PREFECT_WORKER_QUERY_SECONDS": "2", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
        )

    def start(self, command: str, home: str) -> Process:
        """A server of Prefect's, as the page starts it."""
        words = shlex.split(command)
        settings = dict(word.split("=", 1) for word in words if re.match("[A-Z_]+=", word))
        program, *rest = [word for word in words if word.split("=", 1)[0] not in settings]
        if program == "hyperfed":
            folder = self.operator if home == "prefect" else home
            rest += ["--config", str(self.folder / folder / "hyperfed.toml")]
        argv = [str(BIN / program), *rest]
        name = f"{' '.join(rest[:2]).replace(' ', '-')}-{home}"
        made = Process(
            name,
            argv,
            environment=self.environment(home) | settings,
            log=self.folder / f"{name}.log",
            cwd=CHECKOUT,
        )
        made.start()
        self.stack.callback(made.stop)
        return made

    def start_server(self, command: str, home: str) -> None:
        self.server = self.start(command, home)
        server = self.server

        def answers() -> bool:
            assert server.running, server.log_end()
            with suppress(urllib.error.URLError, OSError):
                return bool(self.api("/admin/version"))
            return False

        eventually(answers, server.log_end)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            self.api("/flows/filter", {}, login="")

    def start_store(self) -> None:
        """SeaweedFS that enforces what `hyperfed iam` has printed."""
        self.store = self.stack.enter_context(
            SeaweedFS(self.folder / "seaweedfs", identities=self.identities)
        )
        self.store.store("fed").close()
        for desk, identity, name in (
            ("operator", "coordinator", "store"),
            ("restored", "coordinator", "store"),
            ("restored", "housekeeping", "housekeeping"),
            ("roots", "roots", "store"),
            ("hospital", "client", "store"),
        ):
            key, file = self.store.credentials(identity), self.folder / desk / f"{name}.toml"
            file.touch(mode=0o600)
            file.write_text(f'access_key = "{key.access_key}"\nsecret_key = "{key.secret_key}"\n')

    def write_settings(self, desk: str, key: str) -> None:
        """hyperfed.toml as the page shows it."""
        block = re.search(r"^ {8}\[store\]\n(?: {8}.*\n)+", PAGE.read_text(), re.MULTILINE)
        assert block is not None
        text = "\n".join(line.strip() for line in self.stands_for(block[0]).splitlines())
        (self.folder / desk / "hyperfed.toml").write_text(
            text.replace("coordinator.key", key) + "\n"
        )

    def api(self, path: str, body: Any = None, *, login: str = LOGIN) -> Any:
        headers = {
            "content-type": "application/json",
            "authorization": "Basic " + b64encode(login.encode()).decode(),
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def run_deployment(self, name: str, **parameters: Any) -> dict[str, Any]:
        """A run of a deployment, once it has ended: what the scheduler starts at its instants."""
        found = self.api(f"/deployments/name/{name}/{name}")
        run = self.api(
            f"/deployments/{found['id']}/create_flow_run",
            {"parameters": parameters, "state": {"type": "SCHEDULED"}},
        )["id"]
        return self.ended(run)

    def ended(self, run: str, *, but: str = "") -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            now = dict(self.api(f"/flow_runs/{run}"))
            ended = now["state_type"] in ("COMPLETED", "FAILED", "CRASHED")
            return now if ended and now["state"]["id"] != but else None

        return eventually(
            found,
            lambda: f"the run's end; worker: {self.worker.log_end() if self.worker else 'none'}",
        )

    # -- commands ----------------------------------------------------------------------------------

    def stands_for(self, command: str) -> str:
        """The command with what its example names stand for."""
        endpoint = self.store.endpoint_url if self.store else ""
        for name, thing in (
            ("https://s3.example", endpoint),
            ("FINGERPRINT", self.fingerprint),
            (" 328", " 1"),
            ("https://chat.example/hooks/fed", f"http://127.0.0.1:{self.web.port}/hooks/fed"),
            # no TLS on the loopback address
            (
                "smtp.example.org:587 --smtp-login-file smtp.login",
                f"127.0.0.1:{self.mail.port} --smtp-security none",
            ),
        ):
            command = command.replace(name, thing)
        return command

    def desk_of(self, rest: str) -> str:
        if rest.startswith("schedule --round-duration"):
            return "elsewhere"  # what anybody may ask before there is a federation
        if rest.startswith("client init") and "--links" in rest:
            return "elsewhere"  # another machine, with nothing but the file and the key
        if rest.startswith(CLIENT_DESK):
            return "hospital"
        return "roots" if rest.startswith(ROOTS_DESK) else self.operator

    def hyperfed(self, command: str) -> Any:
        """Run it at its desk; what it answers. Files that other desks have made are carried there
        first.
        """
        rest = self.stands_for(command).removeprefix("hyperfed ")
        desk = self.folder / self.desk_of(rest)
        words = shlex.split(rest)
        for word in words:
            file = Path(word).name
            there = [d / file for d in self.folder.iterdir() if (d / file).is_file()]
            if "." in file and there and not (desk / file).exists() and words[0] != "keygen":
                shutil.copy(there[-1], desk / file)
        asked = ["--yes"] if rest.startswith(CONFIRMED[:2]) else []
        home = "restored" if self.operator == "restored" else "prefect"
        if rest.startswith(HERE):
            with chdir(desk):
                said = CliRunner().invoke(app, [*words, "--json"])
            assert said.exit_code == 0, f"{command}\nat {desk.name}: {said.output}"
            return json.loads(said.stdout)
        done = subprocess.run(
            [BIN / "hyperfed", *words, *asked, "--json"],
            cwd=desk,
            env=os.environ | self.environment(home),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        good = (0, 4) if words[0] == "status" else (0,)  # 4: not counted yet
        assert done.returncode in good, f"{command}\nat {desk.name}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def follow(self, section: str, command: str) -> None:
        """One line of the page."""
        if any(words in command for words in ELSEWHERE):
            return
        self.before(section, command)
        if "prefect server start" in command:
            self.start_server(command, "prefect")
        elif "service worker" in command:
            self.worker = self.start(command, "prefect")
        else:
            said = self.hyperfed(command)
            self.said[command] = said
            self.after(command, said)
        self.ran.append(command)

    def before(self, section: str, command: str) -> None:
        """What happens between the page's commands without the operator."""
        if command.startswith("hyperfed iam"):
            client = "client" in command.split("--role ")[1].split()[0]
            told = self.hyperfed(
                command if "seaweedfs" in command else f"{command} --format seaweedfs"
            )
            self.identities["client" if client else told["role"]] = told["policy"]
        elif command.startswith("hyperfed registry sign registry-000001"):
            self.start_store()
            for desk, key in (("operator", "coordinator.key"), ("roots", "none.key")):
                self.write_settings(desk, key)
        elif command.startswith("hyperfed client init") and "--links" in command:
            shutil.copy(self.folder / "hospital" / "hospital-1.key", self.folder / "elsewhere")
        elif command.startswith("hyperfed client night"):
            rng = np.random.default_rng(3)
            values = np.column_stack(
                [np.arange(1946, 2026), np.cumsum(rng.normal(size=(80, 3)), axis=0)]
            )
            np.savetxt(
                self.folder / "hospital" / "series.csv",
                values,
                delimiter=",",
                header="year,output,employment,unemployment",
                comments="",
            )
            opened = self.run_deployment("open-round")
            assert opened["state_type"] == "COMPLETED", opened["state"]
            failed = self.run_deployment(
                "federation-round", round_id=1, now=self.night(1), aggregation_delay_s=0
            )
            assert "missing: hospital-1" in failed["state"]["message"], failed["state"]
            self.said["failed"] = failed
        elif section == "Backups, and the way back" and self.operator == "operator":
            assert self.worker is not None
            assert self.server is not None
            self.worker.stop()
            self.server.stop()
            self.operator = "restored"
            self.write_settings("restored", "coordinator-2.key")
            self.start_server("prefect server start --host 127.0.0.1", "restored")
            assert self.api("/deployments/filter", {}) == [], "a server that knows nothing"

    def after(self, command: str, said: Any) -> None:
        if command.startswith("hyperfed registry init"):
            self.fingerprint = said["root_fingerprint"]
        if command == "hyperfed round retry 328":
            done = self.ended(self.said["failed"]["id"], but=self.said["failed"]["state"]["id"])
            assert "Round 1 is committed: 1 of 1 client counted" in done["state"]["message"], done[
                "state"
            ]
            assert self.hyperfed("hyperfed status")["headline"] == "counted in round 1"

    def night(self, round_id: int) -> str:
        """A minute after a round's window, whose genesis is today's midnight."""
        return (
            self.reader().registry.windows.deadline(round_id) + timedelta(minutes=1)
        ).isoformat()

    def reader(self) -> DropBoxReader:
        assert self.store is not None
        return DropBoxReader(self.store.store("fed"), fingerprint=self.fingerprint)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with ExitStack() as stack:
        yield Page(tmp_path, stack)


def test_every_command_of_the_page_in_its_order(page: Page) -> None:
    commands = lines_of(PAGE.read_text())
    assert len(commands) > 40
    if datetime.now(UTC).hour == 23 and datetime.now(UTC).minute >= 50:
        pytest.skip("a window of the federation that begins now would end before the page does")
    for section, command in commands:
        page.follow(section, command)
    assert len(page.ran) >= len(commands) - 6

    checks = next(
        said
        for command, said in page.said.items()
        if command.startswith("hyperfed client init") and "--links" not in command
    )["checks"]
    assert all(c["good"] for c in checks), checks
    assert page.said["hyperfed audit"]["findings"] == []
    for received in (page.web, page.mail):
        received.awaits("Hyperfed: a test")
    told = page.said[
        "hyperfed service install --notify custom-webhook/ops --notify slack-webhook/mail"
    ]
    assert all(told["automations"].values())
    assert told["clients_by_link"] == ["hospital-1"], "what an earlier install said stays"
    page.worker = page.start("hyperfed service worker", "restored")
    again = page.run_deployment("federation-round", round_id=1, now=page.night(1))
    assert "already committed, digests verified" in again["state"]["message"], again["state"]
    erasing = page.api("/deployments/name/housekeeping/housekeeping")["parameters"]
    assert erasing["drop_box"] == "hyperfed-housekeeping"
    cleaned = page.run_deployment("housekeeping")
    assert cleaned["state_type"] == "COMPLETED", cleaned["state"]
    reader = page.reader()
    opened = page.run_deployment("open-round", now=reader.registry.windows.opens(2).isoformat())
    assert opened["state_type"] == "COMPLETED", opened["state"]
    plan = page.reader().plan(2)
    key_id = json.loads((page.folder / "restored" / "coordinator-2.key.pub").read_text())["public"][
        "key_id"
    ]
    assert plan is not None
    assert plan.signed.header.key_id == key_id
    assert [c.entry.kind for c in reader.ledger()] == [EntryKind.RESERVE, EntryKind.COMMIT]
