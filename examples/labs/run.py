"""Merge what nine laboratories find in their own cells, in memory, and compare it with biology."""

import csv
import gzip
import re
import sys
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import numpy as np

from hyperfed import (
    FederationClientAgent,
    FederationCoordinator,
    GlobalModel,
    PolicyPack,
    Vocabulary,
)
from hyperfed.engines.catalogue import make_engine

LABS = {  # the experiments in the file's order: their rows, and what each set
    "cd3-cd28": (853, ()),
    "icam-2": (902, ()),
    "akt-inhibitor": (911, ("Akt",)),
    "g0076": (723, ("PKC",)),
    "psitectorigenin": (810, ("PIP2",)),
    "u0126": (799, ("Mek",)),
    "ly294002": (848, ()),
    "pma": (913, ("PKC",)),
    "b2camp": (707, ("PKA",)),
}
NAMES = {  # the columns of cdt's file, by the names of pgmpy's network
    "praf": "Raf",
    "pmek": "Mek",
    "plcg": "Plcg",
    "PIP2": "PIP2",
    "PIP3": "PIP3",
    "p44/42": "Erk",
    "pakts473": "Akt",
    "PKA": "PKA",
    "PKC": "PKC",
    "P38": "P38",
    "pjnk": "Jnk",
}


def file_of(package: str, path: str) -> Path:
    """Return a data file of an installed package, which is not imported."""
    held: PathDistribution = distribution(package)  # type: ignore[assignment]
    return Path(str(held.locate_file(path)))


def cells() -> dict[str, np.ndarray]:
    """Return each laboratory's cells: the logarithms of eleven molecules, a row for each cell."""
    with file_of("cdt", "cdt/data/resources/cyto_full_data.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    ends = np.cumsum([count for count, _ in LABS.values()])
    if header != list(NAMES) or len(rows) != ends[-1]:
        raise ValueError("cdt has another file than version 0.6.0: these are not its experiments")
    values = np.log(np.array(rows, dtype=np.float64))
    return dict(zip(LABS, np.split(values, ends[:-1]), strict=True))


def truth() -> set[tuple[str, str]]:
    """Return the 17 edges of the network in pgmpy."""
    path = file_of("pgmpy", "pgmpy/utils/example_models/sachs.bif.gz")
    text = gzip.decompress(path.read_bytes()).decode()
    stated = re.findall(r"^probability \( (\w+) \| (.*?) \)", text, re.MULTILINE)
    return {(cause, target) for target, causes in stated for cause in causes.split(", ")}


def federate() -> GlobalModel:
    """Return the model that the laboratories agree on."""
    vocabulary = Vocabulary.of(*NAMES.values())
    policy = PolicyPack(lags=(0,))
    coordinator = FederationCoordinator(policy=policy, vocabulary=vocabulary)
    for lab, values in cells().items():
        engine = make_engine("pc", values, vocabulary.names, {"n_bootstrap": 10, "rng": 0})
        agent = FederationClientAgent(
            engine, lab, policy=policy, vocabulary=vocabulary, intervened=LABS[lab][1]
        )
        coordinator.handle_update(lab, agent.get_shareable_update())
    return coordinator.aggregate()


def adjacent(edges: set[tuple[str, str]]) -> set[frozenset[str]]:
    """Return the pairs that edges join, whichever way they point."""
    return {frozenset(edge) for edge in edges}


if __name__ == "__main__":
    model = federate()
    print(model)
    found, known = {(row["source"], row["target"]) for row in model.rows()}, truth()
    pairs = adjacent(found)
    print(
        f"{len(pairs & adjacent(known))} of the {len(pairs)} pairs that are joined, and "
        f"{len(found & known)} of {len(found)} arrows, are among the {len(known)} known edges"
    )
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else "labs.png")
    model.plot().figure.savefig(picture, dpi=120)
    print(f"Drawn: {picture}")
