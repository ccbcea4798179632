"""Erase an object of a drop-box; no other module can.

No store has a call for it, so nothing erases by accident; `retention` alone calls this module.

A store that is none of the adapters here cannot be pruned and raises ConfigError. An object that is
gone already is no error. An S3 bucket with versioning keeps the old version until its own
life-cycle rule ends it.
"""

from hyperfed.errors import ConfigError
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.s3 import S3Store
from hyperfed.storage.store import ObjectStore, check_key

__all__ = ["erase"]


def erase(store: ObjectStore, key: str) -> None:
    """Erase `key` from `store`, also where the store is wrapped in a `RetryingStore`.

    Raises ConfigError where objects of this kind of store cannot be erased, and AccessDenied or
    TransportError where the store refuses or fails.
    """
    check_key(key)
    while isinstance(store, RetryingStore):
        store = store.inner
    match store:
        case MemoryStore() | FilesystemStore() | S3Store():
            store.forget(key)
        case _:
            raise ConfigError(
                "objects of this store cannot be erased",
                subject=type(store).__name__,
                remedy="Use a life-cycle rule of the store",
            )
