"""How long it takes to take part, from an empty folder: by a table, a series and a finished graph.

    .venv/bin/python benchmarks/five_minutes.py

1. A federation is founded and its round is opened by the operator's commands, which are not timed:
   a client waits for a person there, not for a program.
2. Each client then runs what docs/clients.md says, in a folder of its own that holds its data and
   nothing else. Every command is a process, timed on the clock and by the CPU seconds it takes.
3. In the end the round has three updates, and each client's `status` says that its own is there.

What it does not do: time the typing, the telephone, or the installation.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HYPERFED = str(Path(sys.executable).with_name("hyperfed"))
NAMES = ("dose", "heat", "outcome")
ROWS = 500
GRAPH = """
import numpy as np
from causallearn.search.ConstraintBased.PC import pc
from hyperfed import Discovery

rows = np.loadtxt("patients.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3))
graph = pc(rows, 0.05, "fisherz", show_progress=False)
Discovery.from_causallearn(graph, names=("dose", "heat", "outcome")).save("found.csv")
"""


@dataclass(kw_only=True)
class Way:
    """One client's way in, and what it took."""

    client: str
    """The client's id."""
    what: str
    """What the client has."""
    commands: Sequence[Sequence[str]]
    """What it runs once the round is open."""
    taken: list[tuple[str, float, float]] = field(default_factory=list)
    """Each command, with seconds on the clock and of CPU."""


def ways() -> list[Way]:
    """The three ways in."""
    table = ("--data", "patients.csv", "--engine", "pc")
    series = ("--data", "series.csv")
    edges = ("--edges", "found.csv")

    def submitted(words: Sequence[str]) -> list[list[str]]:
        return [[HYPERFED, "submit", *words, *more] for more in (["--dry-run"], [])]

    return [
        Way(client="clinic-1", what="a table of patients", commands=submitted(table)),
        Way(client="plant-1", what="a time series", commands=submitted(series)),
        Way(
            client="clinic-2",
            what="a finished graph of causal-learn",
            commands=[[sys.executable, "-W", "ignore", "-c", GRAPH], *submitted(edges)],
        ),
    ]


def data(folder: Path) -> None:
    """Write a table of patients and a daily series: dose -> heat -> outcome."""
    rng = np.random.default_rng(0)
    dose, heat, outcome = rng.normal(size=(3, ROWS))
    heat = 0.8 * dose + 0.6 * heat
    lines = [
        f"p{i},{a!r},{b!r},{c!r}"
        for i, (a, b, c) in enumerate(
            zip(dose.tolist(), heat.tolist(), (0.7 * heat + outcome).tolist(), strict=True)
        )
    ]
    header = ",".join(NAMES)
    (folder / "patients.csv").write_text("\n".join([f"patient,{header}", *lines]) + "\n")
    series = rng.normal(size=(ROWS, 3))
    for day in range(1, ROWS):
        series[day, 1] += 0.6 * series[day - 1, 0]
        series[day, 2] += 0.6 * series[day - 1, 1]
    days = np.datetime64("2025-01-01") + np.arange(ROWS)
    lines = [
        f"{day},{','.join(map(repr, row))}" for day, row in zip(days, series.tolist(), strict=True)
    ]
    (folder / "series.csv").write_text("\n".join([f"date,{header}", *lines]) + "\n")


def run(words: Sequence[str], folder: Path) -> str:
    """Run a command, which must succeed; what it printed."""
    ran = subprocess.run(  # noqa: S603 - its own commands
        words, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if ran.returncode:
        raise SystemExit(f"{' '.join(words)}: {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def timed(way: Way, words: Sequence[str], folder: Path) -> str:
    """Run one of a client's commands, and keep how long it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    said = run(words, folder)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    name = "python: pc, Discovery.save" if words[0] == sys.executable else " ".join(words[1:])
    way.taken.append((name.split(" --client-id")[0], clock, cpu))
    print(f"{way.client}: {way.taken[-1][0]}: {clock:.1f} s", file=sys.stderr, flush=True)
    return said


def found(operator: Path, box: Path) -> str:
    """Found a federation; its root fingerprint."""
    for name in ("root-1.key", "coordinator.key"):
        run([HYPERFED, "keygen", name], operator)
    drafted = run(
        f"{HYPERFED} registry init --federation fed --root root-1.key.pub "
        "--coordinator coordinator.key.pub --json".split(),
        operator,
    )
    fingerprint = str(json.loads(drafted)["root_fingerprint"])
    publish(operator, 1, box)
    (operator / "hyperfed.toml").write_text(
        f'[store]\nurl = "file://{box}"\n[federation]\nfingerprint = "{fingerprint}"\n'
        '[coordinator]\nkey = "coordinator.key"\n'
        f"[rounds]\nvariables = {json.dumps(NAMES)}\n[policy]\nlags = [0, 1]\n"
    )
    return fingerprint


def publish(operator: Path, version: int, box: Path) -> None:
    """Sign and publish a draft of the registry."""
    name = f"registry-{version:06d}"
    key = ("--root-key", "root-1.key", "--yes", "--out", f"{name}.signed")
    run([HYPERFED, "registry", "sign", f"{name}.draft", *key], operator)
    run([HYPERFED, "registry", "publish", f"{name}.signed", "--store", f"file://{box}"], operator)


def play(root: Path) -> list[Way]:
    """Walk the three ways, and return what they took."""
    operator, box, all_ways = root / "operator", root / "box", ways()
    for folder in (operator, box, *(root / way.client for way in all_ways)):
        folder.mkdir()
    fingerprint = found(operator, box)
    for way in all_ways:
        folder = root / way.client
        data(folder)
        here = ["--client-id", way.client, "--store", f"file://{box}", "--fingerprint", fingerprint]
        timed(way, [HYPERFED, "client", "init", *here], folder)
        timed(way, [HYPERFED, "enroll", "--organisation", way.client.title()], folder)
    enrolments = [str(root / way.client / f"{way.client}.enrolment") for way in all_ways]
    run([HYPERFED, "registry", "add", *enrolments, "--yes"], operator)
    publish(operator, 2, box)
    run([HYPERFED, "round", "open"], operator)
    for way in all_ways:
        folder = root / way.client
        for words in way.commands:
            timed(way, words, folder)
        # not counted yet: exit code 4 is what `status` says until the window ends
        ran = subprocess.run(  # noqa: S603 - its own command
            [HYPERFED, "status", "--json"], cwd=folder, capture_output=True, text=True, check=False
        )
        if json.loads(ran.stdout)["open_round"]["updates"] != 1:
            raise SystemExit(f"{way.client}: its update is not there\n{ran.stdout}")
    return all_ways


def main() -> None:
    """Print what each way took, as a table."""
    with tempfile.TemporaryDirectory() as folder:
        all_ways = play(Path(folder))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| | clock, s | CPU, s |\n|---|---|---|")
    for way in all_ways:
        for name, clock, cpu in way.taken:
            print(f"| `{name}` | {clock:.1f} | {cpu:.1f} |")
        clock = sum(one[1] for one in way.taken)
        cpu = sum(one[2] for one in way.taken)
        print(f"| **{way.what}, in all** | **{clock:.1f}** | **{cpu:.1f}** |")


if __name__ == "__main__":
    main()
