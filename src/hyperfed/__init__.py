"""Hyperfed: federated causal discovery through an object store."""

__all__ = ["__version__"]

__version__ = "0.1.0"
