"""`scripts/setup-venv.sh`: which Python it takes, what it says meanwhile, and that an interruption
is repaired by the next run.

The interpreters are stand-ins on a PATH that holds nothing else but what a shell needs.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "setup-venv.sh"
TOOLS = (
    "awk",
    "bash",
    "cat",
    "chmod",
    "cp",
    "cut",
    "dirname",
    "env",
    "flock",
    "mkdir",
    "mktemp",
    "pwd",
    "rm",
    "sha256sum",
    "sleep",
    "tail",
    "touch",
)
STAND_IN = """#!/bin/bash
name={name} version={version}
echo "$name $*" >>"$CALLS"
case "$1 ${{2:-}} ${{3:-}}" in
    "--version "*) echo "Python $version" ;;
    "-c import sys; sys.exit"*) exit {fits} ;;
    "-c import sys; print"*) echo "$version $name" ;;
    "-c "*) ;;
    "-m venv "*)
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        ;;
    "-m pip install")
        for word in "$@"; do last=$word; done
        case "$last" in
            */uv.txt) cp "$UV" .venv/bin/uv ;;
            *) [ ! -e hang-pip ] || {{ touch pip-hangs; sleep 600; }} ;;
        esac
        ;;
    "-m pip "*) ;;
    *) exit 1 ;;
esac
"""
UV = """#!/bin/bash
echo "uv $*" >>"$CALLS"
[ ! -e hang-uv ] || { touch uv-hangs; sleep 600; }
if [ -e tens ]; then
    before=$(cat tens)
    until [[ $(cat tens) == "$before"xxxx* ]]; do sleep 0.05; done
fi
"""


@dataclass(frozen=True)
class Checkout:
    """A checkout of nothing but what set-up reads, and a PATH."""

    folder: Path
    bin: Path

    def add(self, name: str, version: str = "3.12.1", *, fits: bool = True) -> None:
        """Put an interpreter on the PATH."""
        path = self.bin / name
        path.write_text(STAND_IN.format(name=name, version=version, fits=int(not fits)))
        path.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "CALLS": str(self.folder / "calls"),
            "UV": str(self.folder / "uv"),
            "HOME": str(self.folder),
        }

    def start(self, **env: str) -> subprocess.Popen[str]:
        """Start the script as a terminal does: where the tests run in a shell's background they
        ignore SIGINT, and so would it.
        """
        script = str(self.folder / "scripts" / SCRIPT.name)
        listens = (
            "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
            "os.execvp('bash', ['bash', sys.argv[1]])"
        )
        return subprocess.Popen(
            [sys.executable, "-c", listens, script],
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def run(self, **env: str) -> tuple[int, str]:
        """(exit code, what it said)."""
        process = self.start(**env)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def calls(self) -> list[str]:
        """What the stand-ins were asked since the last time."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return lines

    def made_with(self) -> list[str]:
        """The interpreters that made a .venv."""
        return [line.split()[0] for line in self.calls() if " -m venv " in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder, bin_ = tmp_path / "checkout", tmp_path / "bin"
    (folder / "scripts").mkdir(parents=True)
    bin_.mkdir()
    shutil.copy(SCRIPT, folder / "scripts")
    (folder / "requirements.lock").write_text("uv==0.9 \\\n    --hash=sha256:00\n")
    (folder / "pyproject.toml").write_text("")
    (folder / "uv").write_text(UV)
    (folder / "uv").chmod(0o755)
    for tool in TOOLS:
        found = shutil.which(tool)
        if found is not None:
            (bin_ / tool).symlink_to(found)
    return Checkout(folder, bin_)


ALL = {"python3": True, "python3.13": True, "python3.12": True, "python3.11": True, "python": True}


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (ALL, "python3"),  # what a user has activated
        (ALL | {"python3": False}, "python3.13"),
        ({"python3": False, "python3.12": True, "python3.11": True}, "python3.12"),
        ({"python3.13": False, "python3.11": True}, "python3.11"),
        ({"python3": False, "python": True}, "python"),
    ],
)
def test_it_takes_the_python_that_python3_names_where_that_one_fits(
    checkout: Checkout, there: dict[str, bool], taken: str
) -> None:
    for name, fits in there.items():
        checkout.add(name, fits=fits)
    code, said = checkout.run()
    assert code == 0, said
    assert checkout.made_with() == [taken]


def test_the_one_that_was_asked_for_wins(checkout: Checkout) -> None:
    for name in ALL:
        checkout.add(name)
    assert checkout.run(PYTHON="python3.11")[0] == 0
    assert checkout.made_with() == ["python3.11"]
    assert checkout.run(PYTHON="python3.13")[0] == 0, "it is there, and of another Python"
    assert checkout.made_with() == ["python3.13"]
    assert checkout.run(PYTHON="python3.13") == (0, "")
    assert checkout.run() == (0, ""), "whatever was chosen before stays"


@pytest.mark.parametrize("asked", ["python3.13", "/nowhere/python"])
def test_one_that_does_not_fit_is_not_replaced_by_another(checkout: Checkout, asked: str) -> None:
    checkout.add("python3")
    checkout.add("python3.13", "3.14.0", fits=False)
    code, said = checkout.run(PYTHON=asked)
    assert code == 1
    assert f"PYTHON={asked} is no Python 3.11, 3.12 or 3.13" in said
    assert "Give a command or a path: make PYTHON=python3.12" in said
    assert not (checkout.folder / ".venv").exists()


def test_without_any_it_says_what_is_needed(checkout: Checkout) -> None:
    checkout.add("python3", "3.9.1", fits=False)
    code, said = checkout.run()
    assert code == 1
    assert (
        "Python 3.11, 3.12 or 3.13 is needed and none was found (python3 is: Python 3.9.1)" in said
    )


def test_it_says_each_step_and_how_long_that_takes_and_nothing_the_second_time(
    checkout: Checkout,
) -> None:
    checkout.add("python3", "3.13.0")
    code, said = checkout.run()
    assert code == 0
    first, second, third, done = said.splitlines()
    assert first == "setup: 1 of 3: making .venv with Python 3.13.0 (about ten seconds)"
    assert second.startswith(
        "setup: 2 of 3: installing what requirements.lock pins (usually two minutes the first time"
    )
    assert third.startswith("setup: 3 of 3: installing this checkout")
    assert done.startswith("setup: done in ")
    assert checkout.run() == (0, "")


def test_it_says_every_ten_seconds_what_it_is_at(checkout: Checkout) -> None:
    """Time passes faster here: ten seconds are a moment, and an x. Installing takes forty of
    them.
    """
    checkout.add("python3")
    (checkout.folder / "tens").touch()
    sleep = checkout.bin / "sleep"
    sleep.unlink()
    sleep.write_text(
        f'#!/bin/bash\n[ "$1" != 10 ] || printf x >>"{checkout.folder}/tens"\nexec '
        f"{shutil.which('sleep')} 0.02\n"
    )
    sleep.chmod(0o755)
    code, said = checkout.run()
    assert code == 0
    lines = [
        line
        for line in said.splitlines()
        if line.startswith("setup: 2 of 3: installing what requirements.lock pins: ")
    ]
    assert len(lines) >= 3
    assert all(" s so far (usually two minutes the first time" in line for line in lines)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("stuck", ["uv", "pip"])
def test_an_interruption_ends_everything_and_the_next_run_repairs_it(
    checkout: Checkout, stuck: str, sent: signal.Signals, code: int
) -> None:
    checkout.add("python3")
    (checkout.folder / f"hang-{stuck}").touch()
    process = checkout.start()
    _until((checkout.folder / f"{stuck}-hangs").exists)
    process.send_signal(sent)
    # ends only once nobody holds the pipe: whatever it had started is gone
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "interrupted after" in said
    assert not (checkout.folder / ".venv" / ".stamp").exists()
    (checkout.folder / f"hang-{stuck}").unlink()
    checkout.calls()
    assert checkout.run()[0] == 0
    assert checkout.made_with() == ["python3"], "what was half there is made again"
    assert checkout.run() == (0, "")


def test_an_interrupted_update_is_not_taken_for_the_old_state(checkout: Checkout) -> None:
    """The lock goes back to what it was: some packages may be of the new one."""
    checkout.add("python3")
    assert checkout.run()[0] == 0
    lock, was = (
        checkout.folder / "requirements.lock",
        (checkout.folder / "requirements.lock").read_text(),
    )
    lock.write_text(was + "# another\n")
    (checkout.folder / "hang-uv").touch()
    process = checkout.start()
    _until((checkout.folder / "uv-hangs").exists)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    (checkout.folder / "hang-uv").unlink()
    lock.write_text(was)
    checkout.calls()
    assert checkout.run()[0] == 0
    assert checkout.made_with() == ["python3"]


def test_a_changed_lock_is_synced_in_place(checkout: Checkout) -> None:
    checkout.add("python3")
    assert checkout.run()[0] == 0
    (checkout.folder / "requirements.lock").write_text("uv==0.9.1 \\\n    --hash=sha256:00\n")
    checkout.calls()
    assert checkout.run()[0] == 0
    calls = checkout.calls()
    assert [line for line in calls if " -m venv " in line] == []
    assert [line for line in calls if line.startswith("uv ")] == [
        "uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock"
    ]


@pytest.mark.skipif(
    shutil.which("flock") is None, reason="without flock runs do not wait for each other"
)
def test_two_at_once_wait_for_each_other_and_say_so(checkout: Checkout) -> None:
    checkout.add("python3")
    (checkout.folder / "hang-uv").touch()
    first = checkout.start()
    _until((checkout.folder / "uv-hangs").exists)
    second = checkout.start()
    assert second.stdout is not None
    assert second.stdout.readline() == "setup: another run is at it here; waiting for its end\n"
    (checkout.folder / "hang-uv").unlink()
    os.killpg(first.pid, signal.SIGINT)
    first.communicate(timeout=60)
    assert second.wait(timeout=60) == 0
    second.stdout.close()
    assert (checkout.folder / ".venv" / ".stamp").exists()


@pytest.mark.skipif(
    find_spec("pip") is None, reason="only an environment with pip is asked for its settings"
)
@pytest.mark.parametrize(
    ("env", "said"),
    [({}, "export SSL_CERT_FILE='/a b.pem'\n"), ({"SSL_CERT_FILE": "/own.pem"}, "")],
)
def test_uv_is_given_what_pip_is_set_to_unless_it_was_told_otherwise(
    env: dict[str, str], said: str, tmp_path: Path
) -> None:
    script = SCRIPT.with_name("pip_settings.py")
    env |= {
        "PIP_CERT": "/a b.pem",
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PIP_CONFIG_FILE": os.devnull,
    }
    ran = subprocess.run(
        [sys.executable, str(script)], env=env, capture_output=True, text=True, check=True
    )
    assert ran.stdout == said


def _until(there: Callable[[], bool]) -> None:
    while not there():
        time.sleep(0.01)
