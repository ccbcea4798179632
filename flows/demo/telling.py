"""What the demonstration shows: its tables, and the files it leaves."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.demo.night import Night
from flows.demo.us_states import Federation
from hyperfed.dropbox import DropBoxReader
from hyperfed.global_model import GlobalModel
from hyperfed.packets import PolicyPack
from hyperfed.report.graph_svg import graph_svg
from hyperfed.report.html import html_report
from hyperfed.report.summary import budget_words
from hyperfed.report.text import render_round, render_rounds
from hyperfed.report.view import view_of
from hyperfed.store import ObjectStore

__all__ = ["tell", "write_results"]


def write_results(federation: Federation, store: ObjectStore, out: Path, nights: int) -> dict[str, Path]:
    """The global model, its edges, the picture and the report; what was written, by name."""
    out.mkdir()
    reader = DropBoxReader(store, fingerprint=federation.fingerprint)
    views = [view_of(reader, round_id) for round_id in range(1, nights + 1)]
    stored = reader.result(nights)
    paths = {"report": out / "report.html", "picture": out / "graph.svg", "model": out / "model.npz", "edges": out / "edges.csv"}
    paths["report"].write_text(html_report(views))
    if stored is not None and isinstance(stored.value, GlobalModel):
        paths["picture"].write_text(graph_svg(views[-1]))
        stored.value.store.save(paths["model"])
        with paths["edges"].open("w", newline="") as file:
            rows = stored.value.rows()
            writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["source", "target", "lag"])
            writer.writeheader()
            writer.writerows(rows)
    return {name: path for name, path in paths.items() if path.exists()}


def tell(
    console: Console,
    federation: Federation,
    store: ObjectStore,
    told: Sequence[Night],
    *,
    null: float,
    written: dict[str, Path],
    directory: Path,
    as_json: bool,
) -> None:
    """Tables for a person, or one JSON document."""
    private = view_of(DropBoxReader(store, fingerprint=federation.fingerprint), told[-1].round).budget.noise
    if as_json:
        nights = [
            night.summary
            | {"liars": list(night.liars), "trust_liars": night.trust_liars, "trust_others": night.trust_others, "kept": None if private else _kept(night)}
            for night in told
        ]
        document = {"fingerprint": federation.fingerprint, "null_vote": null, "nights": nights, "written": {name: str(path) for name, path in written.items()}}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    reader = DropBoxReader(store, fingerprint=federation.fingerprint)
    views = [view_of(reader, night.round) for night in told]
    figures = [] if private else [_figures(told, null)]  # they are exact, and a private night publishes nothing that is
    for shown in (render_round(views[-1]), render_rounds(views), *figures):
        console.print()
        console.print(shown)
    if private:
        console.print(f"\n{budget_words(views[-1])}\n{views[-1].statement}", highlight=False, soft_wrap=True)
    console.print("\nWritten:")
    for name, path in written.items():
        console.print(f"  {name:8}{path}", highlight=False, soft_wrap=True)
    home, commands = (directory / "prefect").resolve(), Path(sys.executable).parent
    console.print(
        f"\nThe rounds' pages in Prefect's UI, http://127.0.0.1:4200 under Artifacts:\n  PREFECT_HOME={home} {commands / 'prefect'} server start"
        f"\nLook around in the drop-box:\n  {commands / 'hyperfed'} demo --keep",
        highlight=False,
        soft_wrap=True,
    )


def _kept(night: Night) -> dict[str, Any] | None:
    if night.kept_bounded is None or night.kept_plain is None:
        return None
    return {"bounded trust": asdict(night.kept_bounded), "plain mean": asdict(night.kept_plain)}


def _figures(told: Sequence[Night], null: float) -> Table:
    """What the lie did, against the plain mean."""
    table = Table(
        title=f"Edges above chance (|vote| over {null:.2f}, the largest of time-shuffled data) and at the cut of {PolicyPack().vote_min:g}",
        title_justify="left",
    )
    for name in ("night", "liars", "above chance", "at the cut", "kept by bounded trust", "kept by the plain mean", "mean trust, liars", "mean trust, others"):
        table.add_column(name, justify="left" if name == "night" else "right")
    for night in told:
        above, cut = (sum(abs(vote) >= least for vote in night.votes.values()) for least in (null, PolicyPack().vote_min))
        kept_by = [f"{k.clear} of {k.clear_before}, {k.strong} of {k.strong_before}" if k else "" for k in (night.kept_bounded, night.kept_plain)]
        liars = f"{night.trust_liars:.2f}" if night.trust_liars is not None else ""
        table.add_row(f"{night.round}", f"{len(night.liars) or ''}", f"{above}", f"{cut}", *kept_by, liars, f"{night.trust_others:.2f}")
    table.caption = "kept: above chance, at the cut; of those of the night before, with the same sign"
    return table
