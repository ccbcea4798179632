"""Keep sealed objects that the processes of a merge leave for each other in the drop-box.

The processes may be on several machines. The objects are erased once the round has ended.

1. A round's scratch lies under `rounds/{round}/scratch/{freeze}/{run}/`. `run` is the digest of the
   coordinator's key id and of the code that wrote it: a merge goes on only with what the same code
   has left under the same key.
2. Every object is sealed with a key that follows from the coordinator's secret, the freeze and the
   run (`KeyPair.derived`). A party that holds the key file can read it on any machine, and nobody
   else can, because the object holds values before anything protects them (R-43).
3. The associated data is the object's key. So an object that was changed, moved, swapped or taken
   from another round does not open, and the error names it.
4. Objects are only created, and their content follows from freeze and code. So a process that finds
   one takes it as its own. A name depends on what is asked, never on who asks, so a task that runs
   twice writes once.
5. A name that reveals what was asked would reveal it to any party that lists the bucket. Such names
   are keyed digests (`address`). Sizes are not hidden.

What it does not do: define what is in it (`coordinator.remote.shuffle`), erase it
(`operations.retention`), or decide anything. Emptying the folder costs time, never truth.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy.typing as npt

from hyperfed.codec.arrays import pack_arrays, unpack_arrays
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import open_with, seal_with
from hyperfed.errors import ObjectNotFound, RoundError, SchemaError, SignatureError, TransportError
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.store import ObjectStore

__all__ = ["Scratch"]

Arrays = dict[str, npt.NDArray[Any]]

_REMEDY = "Somebody changed the bucket. Erase the round's scratch folder and run the round again"


class Scratch:
    """Keeps the scratch of one round's merge.

    `key_pair` is the coordinator's, `freeze` is the digest of what is merged, and `code` is the
    digest of the code that merges.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        key_pair: KeyPair,
        round_id: int,
        freeze: bytes,
        code: str,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._store, self._limits = store, limits
        run = hashlib.sha256(f"{key_pair.key_id}\n{code}".encode()).hexdigest()[:32]
        self.folder = Keys.scratch(round_id, f"{freeze.hex()}/{run}")
        self._key = key_pair.derived(b"scratch\n" + self.folder.encode())

    def address(self, content: bytes) -> str:
        """Return 32 hexadecimal digits that name `content`.

        They are the same for everybody who has the key, and tell nobody else what the content is.
        """
        return hashlib.blake2b(
            content, key=self._key, person=b"hyperfed/address", digest_size=16
        ).hexdigest()

    def put(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Leave `arrays` under `name`, and return whether the object was created.

        False means that an object was there already, which then counts. Raises TransportError or
        TransientError.
        """
        ((_, answer),) = self.put_many([(name, arrays)])
        return answer

    def put_many(
        self, objects: Iterable[tuple[str, Mapping[str, npt.NDArray[Any]]]]
    ) -> Iterator[tuple[str, bool]]:
        """Leave several objects as `put` does, and yield (name, whether created) in order."""
        sealed = (
            (key, seal_with(self._key, pack_arrays(arrays), about=key.encode()))
            for key, arrays in ((self.folder + n, a) for n, a in objects)
        )
        for key, answer in self._store.put_many(sealed):
            if isinstance(answer, TransportError):
                raise answer
            yield key.removeprefix(self.folder), answer

    def get(self, name: str) -> Arrays:
        """Return the arrays under `name`.

        Raises RoundError where they are missing, or are not what was left there.
        """
        ((_, arrays),) = self.get_many([name])
        return arrays

    def find(self, name: str) -> Arrays | None:
        """Return the arrays under `name`, or None where there are none.

        Raises RoundError where they are not what was left there.
        """
        try:
            data = self._store.read(self.folder + name, max_bytes=self._limits.max_object_bytes)
        except ObjectNotFound:
            return None
        return self._open(self.folder + name, data)

    def get_many(self, names: Iterable[str]) -> Iterator[tuple[str, Arrays]]:
        """Yield (name, arrays) for each name in the order given; see `get`.

        Several objects are read at once where the store can do that.
        """
        for key, data in self._store.read_many(
            (self.folder + name for name in names), max_bytes=self._limits.max_object_bytes
        ):
            if isinstance(data, ObjectNotFound):
                raise RoundError(
                    "is gone in the middle of a merge",
                    subject=key,
                    rule="R-43",
                    remedy="Run the round again: it makes what is missing",
                )
            if isinstance(data, TransportError):
                raise data
            yield key.removeprefix(self.folder), self._open(key, data)

    def names(self, prefix: str = "") -> set[str]:
        """Return the names under `prefix`, which is a whole folder of names."""
        return {
            info.key.removeprefix(self.folder) for info in self._store.list(self.folder + prefix)
        }

    def _open(self, key: str, data: bytes) -> Arrays:
        try:
            return unpack_arrays(open_with(self._key, data, about=key.encode(), subject=key))
        except (SignatureError, SchemaError) as exc:
            raise RoundError(exc.problem, subject=key, rule="R-43", remedy=_REMEDY) from exc
