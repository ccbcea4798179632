"""Keep a graph in one .npz file: columns as arrays, the rest as JSON beside them."""

import io
import json
import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from hyperfed.errors import ConfigError, SchemaError
from hyperfed.hypergraph.evidence import Evidence, Spread, StoreEvidence
from hyperfed.packets import CausalSemanticPack
from hyperfed.storage.local_files import write_durably
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Variable, Vocabulary

if TYPE_CHECKING:
    from hyperfed.hypergraph.graph import HypergraphStore

__all__ = ["read_graph", "write_graph"]

FORMAT = 1

Array = npt.NDArray[Any]
T = TypeVar("T", bound="HypergraphStore")


def write_graph(graph: "HypergraphStore", path: str | os.PathLike[str]) -> None:
    """Write a graph to one .npz file; an existing file is replaced at once or not at all.

    Raises ConfigError where the file cannot be written.
    """
    arrays: dict[str, Any] = {"measured": graph.measured}
    for kind, table in (("edges", graph.edges), ("hyperedges", graph.hyperedges)):
        arrays |= {
            f"{kind}.{f.name}": getattr(table, f.name)
            for f in fields(table)
            if getattr(table, f.name) is not None
        }
    meta: dict[str, Any] = {
        "format": FORMAT,
        "semantic": {f.name: getattr(graph.semantic, f.name) for f in fields(graph.semantic)},
    }
    if graph.lags is not None:
        meta["lags"] = list(graph.lags)
    if graph.vocabulary is not None:
        meta["vocabulary"] = {
            "version": graph.vocabulary.version,
            "variables": [
                [v.name, v.domain] if v.is_plain else [v.name, v.domain, v.unit, v.low, v.high]
                for v in graph.vocabulary.variables
            ],
        }
    if graph.evidence is not None:
        meta["evidence"] = {
            name: getattr(graph.evidence, name)
            for name in ("confounder_scores", "dag_support", "intervention_clients")
        }
        for kind, evidence in (
            ("edges", graph.evidence.edges),
            ("hyperedges", graph.evidence.hyperedges),
        ):
            if evidence is not None:
                arrays |= {
                    f"evidence.{kind}.{name}": getattr(evidence, name) for name in Evidence.COLUMNS
                }
            if evidence is not None and evidence.spread is not None:
                arrays |= {
                    f"spread.{kind}.{name}": getattr(evidence.spread, name)
                    for name in Spread.COLUMNS
                }
    arrays["meta"] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    write_durably(
        Path(path),
        stream.getvalue(),
        error=ConfigError,
        remedy="Choose a folder that is there and writable",
        mode=0o666,  # others may read a graph, as any file that a user saves
    )


def read_graph(kind: type[T], path: str | os.PathLike[str]) -> T:
    """Return the graph that `write_graph` wrote, as a `kind`.

    Raises ConfigError where the file cannot be read, SchemaError where it is not such a file,
    and BoundsError where a value is outside its bounds.
    """
    subject = str(path)
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        if meta["format"] != FORMAT:
            raise SchemaError(
                f"has format {meta['format']!r}; this version reads {FORMAT}", subject=subject
            )
        return _restored(kind, meta, arrays)
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror or exc}", subject=subject) from exc
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        EOFError,
        zipfile.BadZipFile,
    ) as exc:
        raise SchemaError(
            f"is not a stored hypergraph: {type(exc).__name__}", subject=subject
        ) from exc


def _restored(kind: type[T], meta: dict[str, Any], arrays: dict[str, Array]) -> T:
    """Return the graph of a file's metadata and arrays."""

    def under(prefix: str) -> dict[str, Array]:
        return {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }

    vocabulary = evidence = None
    if "vocabulary" in meta:
        saved_vocabulary = meta["vocabulary"]
        vocabulary = Vocabulary(
            tuple(Variable(*entry) for entry in saved_vocabulary["variables"]),
            saved_vocabulary["version"],
        )
    if "evidence" in meta:
        hyper = under("evidence.hyperedges.")
        rest = {name: tuple(values) for name, values in meta["evidence"].items()}
        spreads = {
            kind: Spread(**columns) if (columns := under(f"spread.{kind}.")) else None
            for kind in ("edges", "hyperedges")
        }
        evidence = StoreEvidence(
            edges=Evidence(**under("evidence.edges."), spread=spreads["edges"]),
            hyperedges=Evidence(**hyper, spread=spreads["hyperedges"]) if hyper else None,
            **rest,
        )
    semantic = dict(
        meta["semantic"], dag_edges=[tuple(edge) for edge in meta["semantic"]["dag_edges"]]
    )
    return kind(
        edges=EdgeTable(**under("edges.")),
        hyperedges=HyperedgeTable(**under("hyperedges.")),
        semantic=CausalSemanticPack(**semantic),
        measured=arrays["measured"],
        vocabulary=vocabulary,
        evidence=evidence,
        lags=tuple(meta["lags"]) if "lags" in meta else None,
    )
