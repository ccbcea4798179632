"""Adapters of `hyperfed.store.ObjectStore`, one a module: `memory`, `filesystem`, `s3`. Nothing is imported until it is asked for."""

__all__: list[str] = []
