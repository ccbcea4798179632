"""Implement `hyperfed pull`: fetch and verify the newest global model, and show what changed.

1. Nothing is written unless the model is verified against the ledger. Each file is replaced at once
   or not at all, and model.json last.
2. What changed is found by comparing with the model.npz of the last pull into this folder, by the
   variables' names.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.files import replace_file
from hyperfed.cli.heads import age_of, head_compared, head_option, head_pairs, told_head
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, client_options, output_options, store_options
from hyperfed.cli.output import clean, instant, plain, show_pairs, show_table
from hyperfed.errors import HyperfedError, ObjectNotFound

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.client import ClientSession
    from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["pull"]

_EDGE_COLUMNS = (
    "source",
    "target",
    "lag",
    "effect",
    "ci_low",
    "ci_high",
    "vote",
    "support",
    "reporting",
    "measured_by",
    "samples",
    "std_error",
    "tau2",
    "i2",
    "q",
    "predict_low",
    "predict_high",
    "without_low",
    "without_high",
    "positive",
    "negative",
    "direction",
    "notes",
    "status",
)
_SHOWN = (
    "source",
    "target",
    "lag",
    "effect",
    "ci_low",
    "ci_high",
    "i2",
    "q",
    "vote",
    "support",
    "measured_by",
)
_NOTES = 8  # edges whose notes are shown
Edge = tuple[str, str, int]


@click.command(cls=Command)
@click.option(
    "--out",
    type=FILE,
    default="model",
    show_default=True,
    help="Folder for model.npz, edges.csv and model.json.",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many edges to show.",
)
@click.option(
    "--gossip",
    "by_gossip",
    is_flag=True,
    help="Pull the basket's own average instead, if a round is void or its coordinator is gone.",
)
@head_option
@client_options
@store_options
@output_options
@pass_invocation
def pull(
    invocation: Invocation, out: Path, top: int, by_gossip: bool, head_text: str | None
) -> None:
    """Fetch the newest global model, verify it, and save it.

    The files are model.npz (for HypergraphStore.load), edges.csv and model.json. A model is refused
    if it is older than one pulled before, has expired, or is not the one that the ledger commits
    to. The answer says how many windows have ended since. It also shows where the ledger ends, for
    comparison with what other members see (--head).

    \b
      hyperfed pull --out model/
      hyperfed pull --gossip                     (gossip.csv and gossip.json; see hyperfed gossip)
    """
    if by_gossip:
        from hyperfed.cli.client.gossip_shown import pull_gossip

        pull_gossip(invocation, out, top)
        return
    other = told_head(head_text)
    with invocation.out.step("Fetching and verifying"):
        session = invocation.session(signing=False)
        head = head_compared(session.check_ledger(), other, session.reader.registry)
        result = session.pull(now=invocation.now)
    _say_revoked(invocation, session)
    if result is None:
        raise ObjectNotFound(
            "no round has been committed yet",
            subject="global model",
            remedy="Pull again after the first round's night",
        )
    model: GlobalModel = result.value
    age = age_of(session.reader.registry, model.round, invocation.now)
    earlier_votes, earlier_round = _earlier(invocation, out)
    changes = _changes(earlier_votes, _effects(model.rows()))
    _save(model, result.digest, out)
    document = {
        "round": model.round,
        "federation": model.federation,
        "time": model.time,
        "clients": model.clients,
        "digest": result.digest,
        "age": age,
        "ledger_head": head,
        "files": [out / name for name in ("model.npz", "edges.csv", "model.json")],
        "warnings": list(model.warnings),
        "edges": model.rows(),
        "suppressed": model.suppressed_rows(),
        "privacy": model.privacy,
        "changes": {
            "since_round": earlier_round,
            **{kind: [_edge_document(e) for e in edges] for kind, edges in changes.items()},
        },
        "statement": model.statement,
    }
    head_said = {"Age": age["said"], **head_pairs(head)}
    invocation.out.finish(
        document, lambda to: _render(to, model, out, top, changes, earlier_round, head_said)
    )


def _say_revoked(invocation: Invocation, session: "ClientSession") -> None:
    """Print a note where this client is revoked.

    A revoked client may still read what it has access to.
    """
    from hyperfed.cli.operator.registry_view import current_round
    from hyperfed.client.standing import revocation_of

    revoked = revocation_of(
        session.reader, session.client_id, current_round(session.reader.registry, invocation.now)
    )
    if revoked is not None:
        invocation.out.note(f"{revoked}: its updates are refused; ask the operator")


def _effects(rows: list[dict[str, Any]]) -> dict[Edge, float]:
    return {(row["source"], row["target"], int(row["lag"])): float(row["effect"]) for row in rows}


def _earlier(invocation: Invocation, out: Path) -> tuple[dict[Edge, float] | None, int | None]:
    """Return the edges and the round of the last pull into this folder.

    Both are None where there was none, or where it cannot be read.
    """
    from hyperfed.hypergraph.graph import HypergraphStore

    path = out / "model.npz"
    if not path.exists():
        return None, None
    try:
        graph = HypergraphStore.load(path)
        round_id = json.loads((out / "model.json").read_text(encoding="utf-8"))["round"]
    except (HyperfedError, OSError, ValueError, LookupError, TypeError) as error:
        invocation.out.note(
            f"what was pulled before cannot be compared ({type(error).__name__}); it is replaced"
        )
        return None, None
    rows = [
        {**row, "source": graph.name(int(row["source"])), "target": graph.name(int(row["target"]))}
        for row in graph.edges.rows()
    ]
    return _effects(rows), int(round_id)


def _changes(
    before: Mapping[Edge, float] | None, after: Mapping[Edge, float]
) -> dict[str, list[Edge]]:
    """Return the edges that came, went, or changed their sign.

    The lists are empty where there is nothing to compare with.
    """
    if before is None:
        return {"added": [], "removed": [], "turned": []}
    return {
        "added": sorted(set(after) - set(before)),
        "removed": sorted(set(before) - set(after)),
        "turned": sorted(
            edge for edge in set(after) & set(before) if (after[edge] > 0) != (before[edge] > 0)
        ),
    }


def _edge_document(edge: Edge) -> dict[str, Any]:
    return {"source": edge[0], "target": edge[1], "lag": edge[2]}


def _edge_text(edge: Edge) -> str:
    return f"{clean(edge[0])} -> {clean(edge[1])} (lag {edge[2]})"


def _save(model: "GlobalModel", digest: bytes, out: Path) -> None:
    from hyperfed.evidence.formats.csv_table import plain_cells
    from hyperfed.hypergraph.suppression import EdgeStatus

    rows = model.rows()
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _EDGE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain_cells(row | {"status": EdgeStatus.PRESENT.value}) for row in rows)
    # an edge that is left out would read as absent
    writer.writerows(
        plain_cells(row | {"status": EdgeStatus.SUPPRESSED.value})
        for row in model.suppressed_rows()
    )
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
        "vocabulary": {
            "version": model.vocabulary.version,
            "variables": [
                {"name": v.name, "domain": v.domain, "unit": v.unit}
                for v in model.vocabulary.variables
            ],
        },
        "measured": [names[int(i)] for i in model.measured],
        "lags": list(model.policy.allowed_lags if model.lags is None else model.lags),
        "measured_by_too_few": [names[int(i)] for i in model.few],
        "privacy": model.privacy,
        "warnings": list(model.warnings),
        "edges": rows,
        "suppressed": model.suppressed_rows(),
        "not_listed": (EdgeStatus.ABSENT if model.privacy is None else EdgeStatus.HIDDEN).value,
        "hyperedges": len(model.hyperedges),
        "confounders": [names[i] for i in model.semantic.confounders],
    }
    replace_file(out / "edges.csv", stream.getvalue().encode())  # first, since it makes the folder
    model.graph.save(out / "model.npz")
    replace_file(out / "model.json", (json.dumps(plain(document), indent=1) + "\n").encode())


def _render(
    to: "Console",
    model: "GlobalModel",
    out: Path,
    top: int,
    changes: Mapping[str, list[Edge]],
    earlier_round: int | None,
    head_said: Mapping[str, str],
) -> None:
    rows = model.rows()
    title = (
        f"Round {model.round}: {len(rows)} edges of {model.clients} clients, the strongest "
        f"{min(top, len(rows))}"
    )
    show_table(
        to, title, _SHOWN, ([row[name] for name in _SHOWN] for row in rows[:top]), right=_SHOWN[2:]
    )
    pairs: dict[str, Any] = {
        "Model": f"round {model.round} of federation {model.federation}, {instant(model.time)}, "
        "verified against the ledger",
        **head_said,
    }
    if earlier_round is None:
        pairs["Changed"] = "nothing to compare with: the first pull into this folder"
    elif not any(changes.values()):
        pairs["Changed"] = f"no edge came, went or turned since round {earlier_round}"
    else:
        for kind, edges in changes.items():
            if edges:
                more = f" and {len(edges) - 8} more" if len(edges) > 8 else ""
                pairs[f"{kind.capitalize()} since {earlier_round}"] = (
                    "; ".join(_edge_text(edge) for edge in edges[:8]) + more
                )
    pairs["Interval"] = (
        "ci_low to ci_high, 95 %; i2: the share of the spread between clients that chance does "
        "not explain; q: of the edges as sure as this one, the share that is false; -: not known"
    )
    noted = [row for row in rows if row["notes"]]
    for row in noted[:_NOTES]:
        edge = (row["source"], row["target"], int(row["lag"]))
        pairs[_edge_text(edge)] = clean(row["notes"])
    if len(noted) > _NOTES:
        pairs["More notes"] = f"{len(noted) - _NOTES} edges have notes, too: {out}/edges.csv"
    for number, warning in enumerate(model.warnings, 1):
        pairs[f"Few data {number}"] = warning
    pairs["Files"] = f"{out}/model.npz, {out}/edges.csv, {out}/model.json"
    pairs["Privacy"] = model.statement
    show_pairs(to, pairs)
