"""Everything that `make bench` measures: one table each for codec, verification, merge, documents
about every client, nights; JSON beside it, plots into docs/.

    benchmarks/.venv/bin/python benchmarks/run.py [--quick] [--only PART]

1. Ratios within one run are what to look at; the machine, its load and its cores are written beside
   them.
2. results/*.json hold the newest figures, targets.md sets them beside what they are to reach,
   docs/performance.svg draws how a merge grows with its rows and threads, and a night with its
   clients and their edges. NOTES.md is written by hand from them.
3. The large nights are run twice, minutes apart, and the faster counts: a shared machine's slow
   spells last longer than a night.
4. Nights run in processes of their own, so that one's memory is not another's peak; the flow in the
   project's environment, which has Prefect.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import codec
import documents
import merge
import verification
from measure import machine
from targets import beside_targets

HERE = Path(__file__).parent
RESULTS = HERE / "results"
TWICE = 4  # nights, the first ones


def night(clients: int, edges: int, store: str) -> dict[str, Any]:
    """One night in a process of its own."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        arguments = [
            "--clients",
            str(clients),
            "--edges",
            str(edges),
            "--store",
            store,
            "--json",
            out.name,
        ]
        subprocess.run(  # noqa: S603
            [sys.executable, str(HERE / "night.py"), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        result: dict[str, Any] = json.loads(Path(out.name).read_text())
    return result


def nights(*, quick: bool, stores: Sequence[str] = ("memory", "s3")) -> list[dict[str, Any]]:
    cases = [
        (1000, 10_000, "memory"),
        (1000, 10_000, "s3"),
        (10_000, 1000, "s3"),
    ]
    cases += [(n, 1000, "memory") for n in (250, 500, 1000, 2000)] + [
        (200, e, "memory") for e in (1000, 4000, 16_000)
    ]
    small = [(100, 1000, "memory"), (200, 1000, "memory"), (100, 1000, "s3")]
    chosen = [case for case in (small if quick else cases) if case[2] in stores]
    first = [night(*case) for case in chosen]
    again = [] if quick else [night(*case) for case in chosen[:TWICE]]  # minutes later
    return [
        min(both, key=lambda found: found["seconds"]) for both in zip(first, again, strict=False)
    ] + first[len(again) :]


def show_nights(results: list[dict[str, Any]]) -> str:
    stages = [s["stage"] for s in results[0]["stages"]]
    lines = [
        "| clients | edges | store | " + " | ".join(stages) + " | seconds | CPU s | peak MB |",
        "|---" * (len(stages) + 6) + "|",
    ]
    for r in results:
        each = " | ".join(f"{s['seconds']:.2f}" for s in r["stages"])
        lines.append(
            f"| {r['clients']:,} | {r['edges']:,} | {r['store']} | {each} | {r['seconds']:.2f} "
            f"| {r['cpu_seconds']:.2f} | {r['peak_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def flow(*, quick: bool) -> dict[str, Any]:
    """What Prefect adds, measured by the project's own Python."""
    quiet = {"PREFECT_LOGGING_LEVEL": "CRITICAL"}
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        arguments = ["--clients", "50" if quick else "1000", "--edges", "1000", "--json", out.name]
        command = [str(HERE.parent / ".venv" / "bin" / "python"), str(HERE / "flow.py"), *arguments]
        subprocess.run(  # noqa: S603
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | quiet,
        )
        result: dict[str, Any] = json.loads(Path(out.name).read_text())
    return result


def show_flow(result: dict[str, Any]) -> str:
    return (
        f"{result['clients']:,} clients x {result['edges']:,} edges in a folder: "
        f"{result['runner_seconds']:.1f} s by the library, "
        f"{result['flow_seconds']:.1f} s by the flow: {result['extra_seconds']:.1f} s more"
    )


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "hyperfed"  # the same picture has the same bytes
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7))
    merged = results["merge"]
    lines = {
        "rows of a consensus (CPU seconds)": sorted(
            (p["rows"], p["seconds"]) for p in merged["growth"]
        ),
        "clients of a night, 1,000 edges each (CPU seconds)": sorted(
            (r["clients"], r["cpu_seconds"])
            for r in results["night"]
            if (r["store"], r["edges"]) == ("memory", 1000)
        ),
        "edges of each of 200 clients, a night (CPU seconds)": sorted(
            (r["edges"], r["cpu_seconds"])
            for r in results["night"]
            if (r["store"], r["clients"]) == ("memory", 200)
        ),
    }
    for axis, (name, points) in zip(axes.flat, lines.items(), strict=False):
        if points:
            x, y = zip(*points, strict=True)
            axis.loglog(x, y, "o-", label="measured")
            axis.loglog(
                x, [y[0] * value / x[0] for value in x], ":", label="twice as much, twice as long"
            )
            axis.legend()
        axis.set_xlabel(name)
        axis.set_ylabel("seconds")
    axes[1][1].bar(list(merged["threads"]), list(merged["threads"].values()), width=0.5)
    axes[1][1].set_xlabel(f"threads of a consensus of {merged['rows']:,} rows")
    axes[1][1].set_ylabel("seconds")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small cases, nothing written")
    parser.add_argument(
        "--only", choices=("codec", "verification", "merge", "documents", "night", "flow")
    )
    parser.add_argument(
        "--stores", default="memory,s3", help="of the nights, those from these stores"
    )
    given = parser.parse_args(arguments)
    parts: dict[str, tuple[Any, Any]] = {
        "codec": (codec.run, codec.show),
        "verification": (verification.run, verification.show),
        "merge": (merge.run, merge.show),
        "documents": (documents.run, documents.show),
        "night": (partial(nights, stores=given.stores.split(",")), show_nights),
        "flow": (flow, show_flow),
    }
    RESULTS.mkdir(exist_ok=True)
    for name, (run, show) in parts.items():
        if given.only in (None, name):
            result = run(quick=given.quick)
            print(f"\n## {name}\n\n{show(result)}", flush=True)
            if not given.quick:
                (RESULTS / f"{name}.json").write_text(
                    json.dumps({"machine": machine(), "result": result}, indent=1) + "\n"
                )
    if not given.quick:
        known = {
            name: json.loads((RESULTS / f"{name}.json").read_text())["result"]
            for name in parts
            if (RESULTS / f"{name}.json").exists()
        }
        table = beside_targets(known)
        print(f"\n## beside the targets\n\n{table}")
        (RESULTS / "targets.md").write_text(f"{table}\n")
        if {"merge", "night"} <= known.keys():
            draw(known, HERE.parent / "docs" / "performance.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
