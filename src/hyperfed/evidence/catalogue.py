"""Name every format, and read and write it.

A format is a module of `formats` with `encode(table) -> bytes` and `decode(data) -> table`. It is
imported when it is used.
"""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hyperfed.errors import BoundsError, ConfigError, SchemaError
from hyperfed.evidence.table import EdgeEvidence

__all__ = ["FORMATS", "Format", "read", "read_file", "write"]


@dataclass(frozen=True, slots=True)
class Format:
    """Describes one format."""

    module: str
    """The module of `formats` that reads and writes it."""
    suffix: str
    """How its files' names end."""
    loses: str
    """What of the evidence it cannot hold, in words; empty where it holds all."""


_GRAPH_ONLY = "all numbers, and suppressed edges"
_ALL_BUT_JOINT = "joint effects"
FORMATS = MappingProxyType(
    {
        "json": Format("json_table", ".json", ""),
        "csv": Format("csv_table", ".csv", "variables without an edge, and joint effects"),
        "parquet": Format("parquet", ".parquet", _ALL_BUT_JOINT),
        "graphml": Format("graphml", ".graphml", _ALL_BUT_JOINT),
        "gexf": Format("gexf", ".gexf", _ALL_BUT_JOINT),
        "gml": Format("gml", ".gml", _ALL_BUT_JOINT),
        "dot": Format("dot", ".dot", _ALL_BUT_JOINT),
        "cytoscape": Format("cytoscape", ".cyjs", _ALL_BUT_JOINT),
        "dagitty": Format("dagitty", ".dagitty", "all numbers but effects, and suppressed edges"),
        "lavaan": Format("lavaan", ".lav", "all numbers, and edges without direction"),
        "tetrad": Format("tetrad", ".txt", _GRAPH_ONLY),
        "tigramite": Format("tigramite", ".npz", "all numbers but effects and q"),
        "bif": Format("bif", ".bif", "all numbers, and edges without direction"),
        "caugi": Format("caugi", ".caugi.json", _GRAPH_ONLY),
        "hif": Format("hif", ".hif.json", "endpoint marks but directions"),
    }
)
"""Every format by its name."""


def _module(name: str) -> Any:
    if name not in FORMATS:
        raise ConfigError(
            f"there is no format {name!r:.40}",
            subject="evidence",
            remedy=f"Choose one of {', '.join(FORMATS)}",
        )
    return importlib.import_module(f"hyperfed.evidence.formats.{FORMATS[name].module}")


def write(table: EdgeEvidence, name: str) -> bytes:
    """Return the file of a table in the format of that name.

    Raises ConfigError for an unknown format, for a library that is not installed, and for a graph
    that the format cannot hold.
    """
    data: bytes = _module(name).encode(table)
    return data


def read(data: bytes, name: str) -> EdgeEvidence:
    """Return the table that a file in the format of that name holds.

    Raises ConfigError for an unknown format, SchemaError for a file that is not of it, and
    BoundsError for a value that no edge has.
    """
    module = _module(name)
    try:
        table: EdgeEvidence = module.decode(data)
    except (BoundsError, ConfigError, SchemaError):
        raise
    except UnicodeDecodeError as exc:
        raise SchemaError("is not text", subject=f"{name} file") from exc
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
        raise SchemaError(
            f"is not a file of this format: {exc}"[:200],
            subject=f"{name} file",
            remedy="Name its format; a file of another tool may be in another one",
        ) from exc
    return table


def read_file(path: str | os.PathLike[str], name: str | None = None) -> EdgeEvidence:
    """Return the table that a file holds; its suffix says its format where `name` does not.

    Raises what `read` raises, and ConfigError for a file that cannot be read.
    """
    file = Path(path)
    if name is None:
        fitting = [key for key, one in FORMATS.items() if file.name.endswith(one.suffix)]
        if not fitting:
            raise ConfigError(
                "its name says no format",
                subject=str(file),
                remedy=f"Name one of {', '.join(FORMATS)}",
            )
        name = max(fitting, key=lambda key: len(FORMATS[key].suffix))
    try:
        data = file.read_bytes()
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", subject=str(file)) from exc
    return read(data, name)
