"""The one place where an object of a drop-box can be erased. No store has a call for it, so that nothing does it by accident; `retention` alone asks.

A store that is none of the adapters here cannot be pruned: ConfigError. What is gone already is no error. S3 buckets with versioning keep the
old version until their own life-cycle rule ends it.
"""

import contextlib

from hyperfed.adapters.filesystem import FilesystemStore
from hyperfed.adapters.memory import MemoryStore
from hyperfed.adapters.s3 import S3Store
from hyperfed.errors import ConfigError
from hyperfed.patience import PatientStore
from hyperfed.store import ObjectStore, check_key

__all__ = ["erase"]


def erase(store: ObjectStore, key: str) -> None:
    """Erase `key`. Raises ConfigError for a store that cannot, AccessDenied, TransportError."""
    check_key(key)
    while isinstance(store, PatientStore):
        store = store.inner
    match store:
        case MemoryStore():
            store.forget(key)
        case FilesystemStore():
            with store._errors(key), contextlib.suppress(FileNotFoundError):
                (store.root / key).unlink()
        case S3Store():
            with store._errors(key):
                store._client().delete_object(Bucket=store.bucket, Key=store.prefix + key)
        case _:
            raise ConfigError("objects of this store cannot be erased", subject=type(store).__name__, remedy="Use a life-cycle rule of the store")
