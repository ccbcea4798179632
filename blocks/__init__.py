"""Prefect blocks: where the object store is, and who speaks."""
