"""Hold models as columns: a client's, the merged one, and what is published of it."""

from hyperfed.hypergraph.graph import HypergraphStore

__all__ = ["HypergraphStore"]
