"""A round that costs something and is noised, so that what is spent or released twice shows."""

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest

from hyperfed.coordinator import FederationCoordinator
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol.entries import (
    Mechanism,
)


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round reserves an epsilon of 1, and no two results are the same: a counter in the
    statement stands for noise.
    """
    draws = itertools.count()
    honest = FederationCoordinator.aggregate

    def noisy(self: FederationCoordinator) -> GlobalModel:
        return replace(honest(self), statement=f"draw {next(draws)}")

    monkeypatch.setattr(FederationCoordinator, "aggregate", noisy)
    monkeypatch.setattr(
        "hyperfed.coordinator.budget.mechanisms_of",
        lambda reader, plan: (Mechanism(kind="basic", epsilon=Decimal(1), delta=Decimal(0)),),
    )
