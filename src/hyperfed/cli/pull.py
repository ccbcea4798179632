"""`hyperfed pull`: the newest global model, verified against the ledger, as files and as what changed.

1. Nothing is written unless the model is verified; each file is replaced at once or not at all, model.json last.
2. What changed is told against the model.npz that lies there from the last pull, by the variables' names.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.files import replace_file
from hyperfed.cli.invocation import Invocation, client_options, output_options, pass_invocation, store_options
from hyperfed.cli.output import clean, instant, plain, show_pairs, show_table
from hyperfed.errors import HyperfedError, ObjectNotFound

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.global_model import GlobalModel

__all__ = ["pull"]

_EDGE_COLUMNS = ("source", "target", "lag", "effect", "ci_low", "ci_high", "vote", "support", "reporting", "measured_by", "samples", "i2", "status")
_SHOWN = ("source", "target", "lag", "effect", "vote", "support", "measured_by")
Edge = tuple[str, str, int]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default="model", show_default=True, help="Folder for model.npz, edges.csv and model.json.")
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="How many edges to show.")
@client_options
@store_options
@output_options
@pass_invocation
def pull(invocation: Invocation, out: Path, top: int) -> None:
    """Fetch the newest global model, verify it, and save it as model.npz (HypergraphStore.load), edges.csv and model.json.

    A model that is older than one pulled before, has expired, or is not the one the ledger commits to is refused.

    \b
      hyperfed pull --out model/
    """
    with invocation.out.step("Fetching and verifying"):
        session = invocation.session(signing=False)
        found = session.pull(now=invocation.now)
    if found is None:
        raise ObjectNotFound("no round has been committed yet", subject="global model", remedy="Pull again after the first round's night")
    model: GlobalModel = found.value
    before, earlier_round = _earlier(invocation, out)
    changes = _changes(before, _effects(model.rows()))
    _save(model, found.digest, out)
    document = {
        "round": model.round,
        "federation": model.federation,
        "time": model.time,
        "clients": model.clients,
        "digest": found.digest,
        "files": [out / name for name in ("model.npz", "edges.csv", "model.json")],
        "edges": model.rows(),
        "suppressed": model.suppressed_rows(),
        "privacy": model.privacy,
        "changes": {"since_round": earlier_round, **{kind: [_edge_document(e) for e in edges] for kind, edges in changes.items()}},
        "statement": model.statement,
    }
    invocation.out.finish(document, lambda to: _render(to, model, out, top, changes, earlier_round))


def _effects(rows: list[dict[str, Any]]) -> dict[Edge, float]:
    return {(row["source"], row["target"], int(row["lag"])): float(row["effect"]) for row in rows}


def _earlier(invocation: Invocation, out: Path) -> tuple[dict[Edge, float] | None, int | None]:
    """(edges, round) of the last pull into this folder; None where there was none, or it cannot be read."""
    from hyperfed.hypergraph import HypergraphStore

    path = out / "model.npz"
    if not path.exists():
        return None, None
    try:
        store = HypergraphStore.load(path)
        round_id = json.loads((out / "model.json").read_text(encoding="utf-8"))["round"]
    except (HyperfedError, OSError, ValueError, LookupError, TypeError) as error:
        invocation.out.note(f"what was pulled before cannot be compared ({type(error).__name__}); it is replaced")
        return None, None
    rows = [{**row, "source": store.name(int(row["source"])), "target": store.name(int(row["target"]))} for row in store.edges.rows()]
    return _effects(rows), int(round_id)


def _changes(before: Mapping[Edge, float] | None, after: Mapping[Edge, float]) -> dict[str, list[Edge]]:
    """Edges that came, went, or turned their sign; empty where there is nothing to compare with."""
    if before is None:
        return {"added": [], "removed": [], "turned": []}
    return {
        "added": sorted(set(after) - set(before)),
        "removed": sorted(set(before) - set(after)),
        "turned": sorted(edge for edge in set(after) & set(before) if (after[edge] > 0) != (before[edge] > 0)),
    }


def _edge_document(edge: Edge) -> dict[str, Any]:
    return {"source": edge[0], "target": edge[1], "lag": edge[2]}


def _edge_text(edge: Edge) -> str:
    return f"{clean(edge[0])} -> {clean(edge[1])} (lag {edge[2]})"


def _save(model: "GlobalModel", digest: bytes, out: Path) -> None:
    from hyperfed.suppression import EdgeStatus

    rows = model.rows()
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _EDGE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"status": EdgeStatus.PRESENT.value} for row in rows)
    writer.writerows(row | {"status": EdgeStatus.SUPPRESSED.value} for row in model.suppressed_rows())  # left out, it would read as absent
    names = model.vocabulary.names
    document = {
        "federation": model.federation,
        "round": model.round,
        "time": model.time,
        "clients": model.clients,
        "digest": digest,
        "freeze": model.freeze,
        "statement": model.statement,
        "policy": model.policy,
        "vocabulary": {"version": model.vocabulary.version, "variables": [{"name": v.name, "domain": v.domain} for v in model.vocabulary.variables]},
        "measured": [names[int(i)] for i in model.measured],
        "measured_by_too_few": [names[int(i)] for i in model.few],
        "privacy": model.privacy,
        "edges": rows,
        "suppressed": model.suppressed_rows(),
        "not_listed": (EdgeStatus.ABSENT if model.privacy is None else EdgeStatus.HIDDEN).value,
        "hyperedges": len(model.hyperedges),
        "confounders": [names[i] for i in model.semantic.confounders],
    }
    replace_file(out / "edges.csv", stream.getvalue().encode())  # first: it makes the folder
    model.store.save(out / "model.npz")
    replace_file(out / "model.json", (json.dumps(plain(document), indent=1) + "\n").encode())


def _render(to: "Console", model: "GlobalModel", out: Path, top: int, changes: Mapping[str, list[Edge]], earlier_round: int | None) -> None:
    rows = model.rows()
    title = f"Round {model.round}: {len(rows)} edges of {model.clients} clients, the strongest {min(top, len(rows))}"
    show_table(to, title, _SHOWN, ([row[name] for name in _SHOWN] for row in rows[:top]), right=_SHOWN[2:])
    pairs: dict[str, Any] = {"Model": f"round {model.round} of federation {model.federation}, {instant(model.time)}, verified against the ledger"}
    if earlier_round is None:
        pairs["Changed"] = "nothing to compare with: the first pull into this folder"
    elif not any(changes.values()):
        pairs["Changed"] = f"no edge came, went or turned since round {earlier_round}"
    else:
        for kind, edges in changes.items():
            if edges:
                more = f" and {len(edges) - 8} more" if len(edges) > 8 else ""
                pairs[f"{kind.capitalize()} since {earlier_round}"] = "; ".join(_edge_text(edge) for edge in edges[:8]) + more
    pairs["Files"] = f"{out}/model.npz, {out}/edges.csv, {out}/model.json"
    pairs["Privacy"] = model.statement
    show_pairs(to, pairs)
