"""Run rounds: `FederationCoordinator` merges, `RoundRunner` drives the stages in the drop-box."""

from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.runner import RoundRunner

__all__ = ["FederationCoordinator", "RoundRunner"]
