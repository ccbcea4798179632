"""Make a world of one's own files, where each file of a folder is what one client observed.

1. Files are read and engines run as by `hyperfed discover`, at the same lags for every client.
   A variable that a file does not have was not measured by its client.
2. Nobody knows the truth. What all files together say when nobody lies stands for it, as in the
   demonstration: the score says what lies cost, not whether anybody is right.
"""

from dataclasses import replace
from pathlib import Path

from hyperfed.client.finding import discover_here
from hyperfed.client.sources import Source
from hyperfed.client_agent import shareable
from hyperfed.engines.catalogue import AUTO, reads
from hyperfed.errors import ConfigError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import PolicyPack
from hyperfed.packets.policy import DEFAULT_LAGS
from hyperfed.simulator.worlds import World, together
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["FOLDER", "world_of_folder"]

FOLDER = "folder"
"""The name of a world of one's own files."""
_BOOTSTRAPS = 20


def world_of_folder(
    folder: Path,
    *,
    engine: str | None = None,
    in_order: bool = False,
    lags: tuple[int, ...] | None = None,
    seed: int = 0,
) -> World:
    """Return the world of a folder's files, in the order of their names.

    Args:
        folder: Holds one file for each client: CSV, gzip, Parquet or Arrow. Files whose names begin
            with a dot are none.
        engine: The engine's name; None: the built-in one.
        in_order: Whether rows are time steps, oldest first, where no column holds the time.
        lags: The lags that every client looks at; None: 1 and 2 in series, 0 in tables.
        seed: The seed of every engine.

    Raises ConfigError for fewer than three files and for a file that cannot be read, and
    EngineError.
    """
    try:
        files = sorted(p for p in folder.iterdir() if p.is_file() and p.name[0] != ".")
    except OSError as exc:
        raise ConfigError(
            f"cannot be read: {exc.strerror}",
            subject=str(folder),
            remedy="Name with --data a folder with one file for each client",
        ) from exc
    if len(files) < 3:
        raise ConfigError(
            f"holds {len(files)} files",
            subject=str(folder),
            remedy="Give at least 3, one for each client",
        )
    kind = "series" if engine in (None, AUTO) else reads(str(engine))
    source = Source(
        kind=kind,
        engine=engine,
        series=in_order and kind == "series",
        lags=lags or (DEFAULT_LAGS if kind == "series" else (0,)),
        bootstraps=_BOOTSTRAPS,
        seed=seed,
    )
    found = {}
    for file in files:
        client = file.name.split(".")[0]
        if client in found:
            raise ConfigError(
                "names a client that another file names already",
                subject=str(file),
                remedy="Give the files of one folder names that differ before the first dot",
            )
        found[client], _ = discover_here(replace(source, file=file))
    names = sorted({name for discovery in found.values() for name in discovery.variables})
    vocabulary = Vocabulary.of(*names)
    graphs = {}
    for client, discovery in found.items():
        measured, edges = discovery.to_edges(vocabulary)
        graphs[client] = HypergraphStore(
            edges=shareable(edges, PolicyPack()), measured=measured, vocabulary=vocabulary
        )
    return together(FOLDER, vocabulary, graphs)
