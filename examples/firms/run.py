"""Merge what eleven firms find in their own growth rates, in memory, and draw the graph."""

import sys
from pathlib import Path

import numpy as np
from statsmodels.datasets import grunfeld

from hyperfed import (
    FederationClientAgent,
    FederationCoordinator,
    GlobalModel,
    VarEngine,
    Vocabulary,
)

VARIABLES = ("invest", "value", "capital")


def federate() -> GlobalModel:
    """Return the model that the firms agree on."""
    vocabulary = Vocabulary.of(*VARIABLES)
    coordinator = FederationCoordinator(vocabulary=vocabulary)
    for firm, rows in grunfeld.load_pandas().data.groupby("firm"):
        levels = rows.sort_values("year")[list(VARIABLES)].to_numpy()
        engine = VarEngine(np.diff(np.log(levels), axis=0), VARIABLES, n_bootstrap=20)
        client = str(firm).lower().replace(" ", "-")
        agent = FederationClientAgent(engine, client, vocabulary=vocabulary)
        coordinator.handle_update(client, agent.get_shareable_update())
    return coordinator.aggregate()


if __name__ == "__main__":
    model = federate()
    print(model)
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else "firms.png")
    model.plot().figure.savefig(picture, dpi=120)
    print(f"Drawn: {picture}")
