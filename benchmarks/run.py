"""Everything that `make bench` measures: one table each for the codec, verification, the merge and a night; JSON beside it, plots into docs/.

    benchmarks/.venv/bin/python benchmarks/run.py [--quick]

1. Ratios within one run are what to look at; the machine, its load and its cores are written beside them.
2. results/*.json hold the newest figures, performance.svg draws how a night grows with its clients and their edges.
3. Nights run in processes of their own, so that one's memory is not another's peak.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import codec
import merge
import numpy as np
import verification

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def machine() -> dict[str, Any]:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def night(clients: int, edges: int, store: str) -> dict[str, Any]:
    """One night in a process of its own."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        arguments = ["--clients", str(clients), "--edges", str(edges), "--store", store, "--json", out.name]
        subprocess.run([sys.executable, str(HERE / "night.py"), *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        result: dict[str, Any] = json.loads(Path(out.name).read_text())
    return result


def nights(*, quick: bool) -> list[dict[str, Any]]:
    cases = [(1000, 10_000, "memory"), (1000, 10_000, "s3"), (1000, 10_000, "s3-fast"), (10_000, 1000, "s3-fast")]
    cases += [(n, 1000, "memory") for n in (250, 500, 1000, 2000, 4000)] + [(200, e, "memory") for e in (1000, 2000, 4000, 8000, 16_000, 32_000)]
    return [night(*case) for case in ([(100, 1000, "memory"), (200, 1000, "memory"), (100, 1000, "s3-fast")] if quick else cases)]


def show_nights(results: list[dict[str, Any]]) -> str:
    stages = [s["stage"] for s in results[0]["stages"]]
    lines = ["| clients | edges | store | " + " | ".join(stages) + " | seconds | CPU s | peak MB |", "|---" * (len(stages) + 6) + "|"]
    for r in results:
        each = " | ".join(f"{s['seconds']:.2f}" for s in r["stages"])
        lines.append(
            f"| {r['clients']:,} | {r['edges']:,} | {r['store']} | {each} | {r['seconds']:.2f} | {r['cpu_seconds']:.2f} | {r['peak_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def draw(results: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "hyperfed"  # the same picture has the same bytes
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    for axis, name, fixed in ((axes[0], "clients", ("edges", 1000)), (axes[1], "edges", ("clients", 200))):
        points = sorted((r[name], r["seconds"]) for r in results if r["store"] == "memory" and r[fixed[0]] == fixed[1])
        if points:
            x, y = zip(*points, strict=True)
            axis.loglog(x, y, "o-", label="a night")
            axis.loglog(x, [y[0] * value / x[0] for value in x], ":", label="twice as much, twice as long")
        axis.set_xlabel(f"{name} ({fixed[1]:,} {fixed[0]} each)" if fixed[0] == "edges" else f"{name} of each of {fixed[1]} clients")
        axis.set_ylabel("seconds")
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small cases, nothing written")
    parser.add_argument("--only", choices=("codec", "verification", "merge", "night"))
    given = parser.parse_args(arguments)
    parts: dict[str, tuple[Any, Any]] = {
        "codec": (codec.run, codec.show),
        "verification": (verification.run, verification.show),
        "merge": (merge.run, merge.show),
        "night": (nights, show_nights),
    }
    RESULTS.mkdir(exist_ok=True)
    for name, (run, show) in parts.items():
        if given.only in (None, name):
            result = run(quick=given.quick)
            print(f"\n## {name}\n\n{show(result)}", flush=True)
            if not given.quick:
                (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine(), "result": result}, indent=1) + "\n")
                if name == "night":
                    draw(result, HERE.parent / "docs" / "performance.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
