"""Say what was read of a client's data, and what leaves beside edges, before it is sent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperfed.packets import Update
    from hyperfed.tables.hyperedges import HyperedgeTable

__all__ = ["leaving_beside_edges", "read_pairs", "told_beside_edges"]


def read_pairs(read: dict[str, Any] | None) -> dict[str, Any]:
    """Return what was read of the data, as pairs to show.

    There are none for finished edges and the user's own engines, which read by themselves.
    """
    if read is None:
        return {}
    lacking = sum(read["missing"].values())
    cells = read["rows"] * len(read["columns"])
    columns = len(read["columns"])
    rows_read = f"{read['rows']} rows of {columns} column{'s' * (columns != 1)}"
    if read["empty_rows"]:
        rows_read += f", and {read['empty_rows']} steps without a row"
    missing = ", ".join(f"{name} {count}" for name, count in list(read["missing"].items())[:12])
    pairs = {
        "Read": rows_read,
        "Missing": f"{lacking} of {cells} values: {missing}" if lacking else "no value",
    }
    if read["period"]:
        first, last = read["period"]
        pairs["Time"] = f"{first} to {last} by column {read['time']!r}, a step is {read['step']}"
    if read["units"]:
        pairs["Units"] = ", ".join(f"{name} in {unit}" for name, unit in read["units"].items())
    return pairs


def leaving_beside_edges(update: "Update", names: Sequence[str]) -> dict[str, list[Any]]:
    """Return what an update says beside its edges, with variables by name.

    `names` are those of the vocabulary.
    """
    pack, table = update.semantic, update.hyperedges
    return {
        "directions": [
            {"source": names[source], "target": names[target], "weight": weight}
            for source, target, weight in (pack.dag_edges if pack else ())
        ],
        "confounded": [names[one] for one in (pack.confounders if pack else ())],
        "intervened": [names[one] for one in (pack.intervened if pack else ())],
        "interactions": [] if table is None else _rows_of(table, names),
    }


def _rows_of(table: "HyperedgeTable", names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one dict for each hyperedge, with variables by name."""
    ends = table.offsets.tolist()
    columns = {
        name: getattr(table, name).tolist()
        for name in ("lag", "effect", "confidence", "stability", "hits", "n")
    }
    return [
        {
            "sources": [names[i] for i in table.sources[ends[at] : ends[at + 1]].tolist()],
            "target": names[target],
            **{name: column[at] for name, column in columns.items()},
        }
        for at, target in enumerate(table.target.tolist())
    ]


def told_beside_edges(beside: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Return what `leaving_beside_edges` returned as texts, by title; empty where it is empty."""
    values_by_title = {
        "Directions": [f"{one['source']} -> {one['target']}" for one in beside["directions"]],
        "Share a hidden cause": beside["confounded"],
        "Experiments": beside["intervened"],
        "Interactions": [
            f"{' * '.join(one['sources'])} on {one['target']}" for one in beside["interactions"]
        ],
    }
    return {title: values for title, values in values_by_title.items() if values}
