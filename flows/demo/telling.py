"""Show what the demonstration came to: its tables, and the files that it leaves."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.demo.night import PlayedNight
from flows.demo.us_states import Federation
from hyperfed.demo.story import NightFacts, story, striking
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import PolicyPack
from hyperfed.report.html import html_report
from hyperfed.report.pictures.graph_svg import graph_svg
from hyperfed.report.summary import budget_words, noise_words
from hyperfed.report.text import render_edges
from hyperfed.report.view import RoundView, view_of
from hyperfed.report.wording import fixed, signed
from hyperfed.storage.store import ObjectStore

__all__ = ["tell", "write_results"]


def write_results(
    federation: Federation, store: ObjectStore, out: Path, nights: int
) -> dict[str, Path]:
    """Write the global model, its edges, the picture and the report.

    Returns the path of each file that was written, by name.
    """
    out.mkdir()
    reader = DropBoxReader(store, fingerprint=federation.fingerprint)
    views = [view_of(reader, round_id) for round_id in range(1, nights + 1)]
    stored = reader.result(nights)
    paths = {
        "report": out / "report.html",
        "picture": out / "graph.svg",
        "model": out / "model.npz",
        "edges": out / "edges.csv",
    }
    paths["report"].write_text(html_report(views))
    if stored is not None and isinstance(stored.value, GlobalModel):
        paths["picture"].write_text(graph_svg(views[-1]))
        stored.value.graph.save(paths["model"])
        with paths["edges"].open("w", newline="") as file:
            rows = stored.value.rows()
            writer = csv.DictWriter(
                file, fieldnames=list(rows[0]) if rows else ["source", "target", "lag"]
            )
            writer.writeheader()
            writer.writerows(rows)
    return {name: path for name, path in paths.items() if path.exists()}


def tell(
    console: Console,
    federation: Federation,
    store: ObjectStore,
    told: Sequence[PlayedNight],
    *,
    null: float,
    written: dict[str, Path],
    directory: Path,
    as_json: bool,
) -> None:
    """Show tables and a few words to a person, or print one JSON document.

    `null` is the vote that chance alone reaches. `written` has the files of `write_results`.
    """
    reader = DropBoxReader(store, fingerprint=federation.fingerprint)
    views = [view_of(reader, night.round) for night in told]
    private = views[-1].budget.noise
    words = [] if private else story(_told(told, views))
    if as_json:
        nights = [
            night.summary
            | {
                "liars": list(night.liars),
                "weight_liars": night.weight_liars,
                "weight_others": night.weight_others,
                "kept": None if private else _kept(night),
            }
            for night in told
        ]
        good = all(night.summary["outcome"] == "committed" for night in told)
        document = {
            "ok": good,
            "exit_code": 0 if good else 1,
            "fingerprint": federation.fingerprint,
            "null_vote": null,
            "nights": nights,
            "story": words,
            "written": {name: str(path) for name, path in written.items()},
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    if private:  # no exact figures are shown: a private night publishes none
        shown = [render_edges(views[-1])] if views[-1].edges else []
        _print(console, *shown, _privately(told[-1], views))
        _print(console, Text(f"{budget_words(views[-1])}\n{views[-1].statement}"))
    else:
        _print(console, _edges(told, views[-1]), _trust(_told(told, views)), _nights(told, null))
        _print(
            console, Text("What happened", style="bold"), *(Text(paragraph) for paragraph in words)
        )
    _ways_on(console, written, directory)


def _print(console: Console, *shown: Any) -> None:
    """Print each part below an empty line; prose is no wider than it reads well."""
    for part in shown:
        console.print()
        console.print(
            part, highlight=False, width=min(console.width, 100) if isinstance(part, Text) else None
        )


def _ways_on(console: Console, written: dict[str, Path], directory: Path) -> None:
    console.print("\nWritten (the report has every table and picture of every night):")
    for name, path in written.items():
        console.print(f"  {name:8}{path}", highlight=False, soft_wrap=True)
    home, command = (directory / "prefect").resolve(), Path(sys.executable).parent / "prefect"
    console.print(
        "\nThe rounds' pages in Prefect's UI, http://127.0.0.1:4200 under Artifacts:\n  "
        f"PREFECT_HOME={home} {command} server start",
        highlight=False,
        soft_wrap=True,
    )


def _told(told: Sequence[PlayedNight], views: Sequence[RoundView]) -> NightFacts:
    last, policy = told[-1], views[-1].policy or PolicyPack()
    clients = {row.client for row in views[-1].trust}
    return NightFacts(
        night=last.round,
        rows=views[-1].trust,
        liars=frozenset(last.liars),
        silent={c: sum(night.weights.get(c, 1.0) <= 0 for night in told) for c in clients},
        lies={c: sum(c in night.liars for night in told) for c in clients},
        before=told[-2].votes if len(told) > 1 else None,
        now=last.votes,
        plain=last.plain,
        cut=policy.vote_min,
        trust_min=policy.trust_min,
        payload=policy.payload,
    )


def _privately(night: PlayedNight, views: Sequence[RoundView]) -> Text:
    """Return what may be said of the lie where single clients are hidden."""
    privacy = views[-1].privacy
    seen = "" if privacy is None else "\n" + noise_words(privacy, views[-1].edge_count)
    if not night.liars:
        return Text("Nobody lied in this night." + seen)
    mover = "one of its rows" if privacy and privacy.released == "moments" else "a state"
    before = (
        {(e.source, e.target, e.lag): e.vote for e in views[-2].edges} if len(views) > 1 else {}
    )
    now = {(e.source, e.target, e.lag): e.vote for e in views[-1].edges}
    kept = sum(now.get(edge, 0.0) * vote > 0 for edge, vote in before.items())
    compared = (
        f" Of {len(before)} edges released the night before, {kept} are released tonight with "
        "the same sign."
        if before
        else ""
    )
    return Text(
        f"{len(night.liars)} states lied in night {night.round}: {', '.join(night.liars)}. "
        "Where noise hides single clients nobody is"
        f" weighed by what it says; the clip alone bounds what {mover} can move.{compared}{seen}"
    )


def _kept(night: PlayedNight) -> dict[str, Any] | None:
    if night.kept_bounded is None or night.kept_plain is None:
        return None
    return {"bounded trust": asdict(night.kept_bounded), "plain mean": asdict(night.kept_plain)}


def _table(title: str, columns: Sequence[str], *, left: int = 1) -> Table:
    table = Table(
        title=Text(title, style="bold"),
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        caption_justify="left",
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=i == 0)
    return table


def _edges(told: Sequence[PlayedNight], view: RoundView) -> Table:
    """Return tonight's graph as a table.

    Beside it stand last night's graph, and what a plain mean would have made of the same updates.
    """
    last, before = told[-1], told[-2].votes if len(told) > 1 else {}
    cut = (view.policy or PolicyPack()).vote_min
    support = {(e.source, e.target, e.lag): e.support_words for e in view.edges}
    shown = {
        edge
        for votes in (before, last.votes, last.plain)
        for edge, vote in votes.items()
        if abs(vote) >= cut
    }
    table = _table(
        f"The graph: votes of the edges at or above {cut:g}",
        (
            "edge",
            "lag",
            *([f"night {told[-2].round}"] if before else []),
            f"night {last.round}",
            "plain mean",
            "support",
        ),
    )
    for source, target, lag in sorted(
        shown, key=lambda edge: (-abs(last.votes.get(edge, 0.0)), edge)
    ):
        edge = (source, target, lag)
        votes = [last.votes.get(edge, 0.0), last.plain.get(edge, 0.0)]
        cells = [_vote(vote, cut) for vote in ([before.get(edge, 0.0)] if before else []) + votes]
        table.add_row(f"{source} \u2192 {target}", str(lag), *cells, support.get(edge, "-"))
    table.caption = (
        f"(in brackets: below {cut:g}, so not in the graph) plain mean: of the same "
        "updates, without weights"
    )
    return table


def _vote(vote: float, cut: float) -> Text:
    if abs(vote) >= cut:
        return Text(signed(vote), style="blue" if vote > 0 else "dark_orange")
    return Text(f"({signed(vote)})", style="dim")


def _trust(told: NightFacts) -> Table:
    """Return a table of liars, those without weight and those left out, by name.

    The operator's page cannot mark liars, since nobody there knows who lies.
    """
    rows = striking(told)
    columns = ("state", "who", "weight", "agreement", "trust before", "trust now", "next round")
    table = _table(
        f"Night {told.night}: who lies, who has no weight, who will be left out", columns, left=2
    )
    for row in rows:
        lies = row.client in told.liars
        table.add_row(
            row.client,
            Text("LIAR", style="bold red") if lies else Text("honest", style="green"),
            "-" if row.weight is None else fixed(row.weight),
            "-" if row.agreement is None else signed(row.agreement),
            fixed(row.before),
            "-" if row.after is None else fixed(row.after),
            Text("left out", style="bold") if row.barred else "invited",
        )
    shown = {row.client for row in rows}
    rest = [row.weight for row in told.rows if row.client not in shown and row.weight is not None]
    if rest:
        table.caption = (
            f"and {len(rest)} honest states with a weight of {fixed(min(rest))} to "
            f"{fixed(max(rest))}"
        )
    return table


def _nights(told: Sequence[PlayedNight], null: float) -> Table:
    """Return a table of what the lie did, night by night, against the plain mean."""
    cut = PolicyPack().vote_min
    columns = (
        "night",
        "liars",
        "weight of liars",
        "of others",
        f"edges over {null:.2f}",
        f"over {cut:g}",
        "kept",
        "by plain mean",
    )
    table = _table("Night by night", columns)
    for night in told:
        above, strong = (
            sum(abs(vote) >= least for vote in night.votes.values()) for least in (null, cut)
        )
        kept_by = [
            f"{k.strong} of {k.strong_before}" if k else "-"
            for k in (night.kept_bounded, night.kept_plain)
        ]
        weights = [
            "-" if w is None else fixed(w) for w in (night.weight_liars, night.weight_others)
        ]
        table.add_row(
            f"{night.round}", f"{len(night.liars)}", *weights, f"{above}", f"{strong}", *kept_by
        )
    table.caption = (
        f"weight: the mean of each group. {null:.2f}: the largest |vote| of time-shuffled data, "
        "which is chance.\n"
        f"kept: of the edges over {cut:g} of the night before, those that are still there with "
        "the same sign."
    )
    return table
