"""Define the block `StageResults`, which keeps results of finished stages in the drop-box.

A Retry therefore goes on where the round failed.

1. Everything lies under `prefect/stages/`. It is created once and never changed, like all of the
   drop-box. Emptying the folder costs time, never truth.
2. Only results under a stage's key are kept. A failure is in the message of its state, so an object
   for it at each look at the inbox would be of no use.
3. Each object carries the coordinator's signature over its path and content. One that does not
   verify is a miss, and the stage runs again: whoever runs the bucket cannot forge a stage's
   result.
4. Prefect calls `read_path` and `write_path` with `_sync`, and awaits `aread_path` and
   `awrite_path`. Only its base class's types say that the former are coroutines.

What it does not do: serialize or choose keys (`tasks.stages`), or forget (the housekeeping flow).
"""

import hmac
from functools import cached_property
from typing import Any, ClassVar, Self

from prefect.filesystems import WritableFileSystem
from pydantic import Field

from blocks.coordinator_keys import CoordinatorKeys
from blocks.dropbox import DropBox
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import SignatureError
from hyperfed.storage.store import ObjectStore

__all__ = ["FOLDER", "StageResults"]

FOLDER = "prefect/stages"
"""The folder of the results in the drop-box."""
_KEPT = "rounds/"
_SIGNATURE_BYTES = 64
_MAX_BYTES = 64 << 20


class StageResults(WritableFileSystem):
    """Keeps results of stages in a drop-box.

    The block is named like the Drop-Box block, and the flow makes it where it is missing.
    """

    _block_type_name: ClassVar[str] = "Hyperfed Stage Results"
    _block_type_slug: ClassVar[str] = "hyperfed-stage-results"
    model_config: ClassVar[Any] = {"ignored_types": (cached_property,)}

    drop_box: str = Field(
        default="hyperfed",
        description="Name of the Hyperfed Drop-Box block whose store keeps the results",
    )
    coordinator_keys: str = Field(
        default="hyperfed",
        description="Name of the Hyperfed Coordinator Keys block whose key signs them",
    )

    @classmethod
    def beside(cls, drop_box: str, coordinator_keys: str) -> Self:
        """Return the saved block of a drop-box.

        It is made where it is missing, and corrected where it names other keys.
        """
        try:
            found = cls.load(drop_box)
            if isinstance(found, cls) and found.coordinator_keys == coordinator_keys:
                return found
        except ValueError:  # Prefect's answer where no block has this name
            pass
        made = cls(drop_box=drop_box, coordinator_keys=coordinator_keys)
        made.save(drop_box, overwrite=True)
        return made

    @cached_property
    def _store(self) -> ObjectStore:
        return DropBox.load(self.drop_box).open()

    @cached_property
    def _keys(self) -> KeyPair:
        return CoordinatorKeys.load(self.coordinator_keys).load_keys()

    def _signature(self, path: str, content: bytes) -> bytes:
        """Return the signature, which is deterministic, so that verifying is signing again."""
        return self._keys.sign(b"hyperfed/stage-result\n" + path.encode() + b"\n" + content)

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]  # see 4
        """Return what was kept under a stage's key.

        Raises ObjectNotFound, SignatureError and TransportError, each of which is a miss to
        Prefect.
        """
        data = self._store.read(f"{FOLDER}/{path}", max_bytes=_MAX_BYTES)
        signature, content = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(path, content)):
            raise SignatureError(
                "is not signed by this coordinator",
                subject=f"{FOLDER}/{path}",
                remedy="Nothing to do: the stage runs again",
            )
        return content

    def write_path(  # type: ignore[override]  # see 4
        self, path: str, content: bytes, _sync: bool = True
    ) -> str:
        """Keep a stage's result, unless there is one already."""
        if path.startswith(_KEPT):
            self._store.put_if_absent(f"{FOLDER}/{path}", self._signature(path, content) + content)
        return path

    async def aread_path(self, path: str) -> bytes:
        """Do as `read_path` does."""
        return self.read_path(path)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """Do as `write_path` does."""
        return self.write_path(path, content)
