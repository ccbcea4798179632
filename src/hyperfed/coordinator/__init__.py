"""The coordinator's side: `FederationCoordinator` merges, `RoundRunner` drives the round's state machine against an object store."""

from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.coordinator.runner import RoundRunner

__all__ = ["FederationCoordinator", "RoundRunner"]
