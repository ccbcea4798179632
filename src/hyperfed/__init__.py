"""Hyperfed: federated causal discovery through an object store.

The names below are the public ones. Each is imported when it is first asked for, so that `import hyperfed` costs nothing (PEP 562).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperfed.adapters.http import HTTPTransport
    from hyperfed.client_agent import FederationClientAgent
    from hyperfed.codec import PayloadCodec
    from hyperfed.coordinator import FederationCoordinator
    from hyperfed.errors import PrivacyBudgetExhausted
    from hyperfed.hypergraph import HypergraphStore
    from hyperfed.packets import CausalSemanticPack, EdgeDelta, PathPack, PolicyPack, Update
    from hyperfed.privacy import PrivacyGuard
    from hyperfed.reconciler import StoreReconciler, build_reconciler
    from hyperfed.rounds import FederationScheduler
    from hyperfed.transport import InMemoryTransport, Transport
    from hyperfed.trust_scorer import TrustScorer
    from hyperfed.validator import PacketValidator
    from hyperfed.vocabulary import Vocabulary

__all__ = [
    "CausalSemanticPack",
    "EdgeDelta",
    "FederationClientAgent",
    "FederationCoordinator",
    "FederationScheduler",
    "HTTPTransport",
    "HypergraphStore",
    "InMemoryTransport",
    "PacketValidator",
    "PathPack",
    "PayloadCodec",
    "PolicyPack",
    "PrivacyBudgetExhausted",
    "PrivacyGuard",
    "StoreReconciler",
    "Transport",
    "TrustScorer",
    "Update",
    "Vocabulary",
    "__version__",
    "build_reconciler",
]

__version__ = "0.1.0"

_MODULES = {
    "CausalSemanticPack": "packets",
    "EdgeDelta": "packets",
    "FederationClientAgent": "client_agent",
    "FederationCoordinator": "coordinator",
    "FederationScheduler": "rounds",
    "HTTPTransport": "adapters.http",
    "HypergraphStore": "hypergraph",
    "InMemoryTransport": "transport",
    "PacketValidator": "validator",
    "PathPack": "packets",
    "PayloadCodec": "codec",
    "PolicyPack": "packets",
    "PrivacyBudgetExhausted": "errors",
    "PrivacyGuard": "privacy",
    "StoreReconciler": "reconciler",
    "Transport": "transport",
    "TrustScorer": "trust_scorer",
    "Update": "packets",
    "Vocabulary": "vocabulary",
    "build_reconciler": "reconciler",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'hyperfed' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"hyperfed.{module}"), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
