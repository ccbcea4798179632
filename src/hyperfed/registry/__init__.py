"""Read and sign the registry (clients, keys, windows), and let clients enrol."""

from hyperfed.registry.registry import Registry

__all__ = ["Registry"]
