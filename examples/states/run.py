"""Merge what 48 US states find in their own series, in memory, and draw the graph."""

import sys
from pathlib import Path

from hyperfed import (
    FederationClientAgent,
    FederationCoordinator,
    GlobalModel,
    VarEngine,
    Vocabulary,
)
from hyperfed.demo import VARIABLES, series, states


def federate() -> GlobalModel:
    """Return the model that the states agree on."""
    vocabulary = Vocabulary.of(*VARIABLES)
    coordinator = FederationCoordinator(vocabulary=vocabulary)
    for state in states():
        engine = VarEngine(series(state), VARIABLES, n_bootstrap=20)
        agent = FederationClientAgent(engine, state, vocabulary=vocabulary)
        coordinator.handle_update(state, agent.get_shareable_update())
    return coordinator.aggregate()


if __name__ == "__main__":
    model = federate()
    print(model)
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else "states.png")
    model.plot().figure.savefig(picture, dpi=120)
    print(f"Drawn: {picture}")
