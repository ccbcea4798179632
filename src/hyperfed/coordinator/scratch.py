"""`Scratch`: what the processes of a merge across machines leave for each other in the drop-box, sealed; gone once the round has ended.

1. A round's scratch lies under `rounds/{round}/scratch/{freeze}/{run}/`, `run` being the digest of the coordinator's key id and of the code that wrote it: a
   merge goes on with what the same code has left under the same key, and with nothing else.
2. Every object is sealed with a key that follows from the coordinator's secret, the freeze and the run (`KeyPair.derived`): whoever holds the key file can
   read it, on any machine; nobody else can, for it holds values before anything protects them (R-43).
3. The associated data is the object's key: what was changed, moved, swapped or taken from another night does not open, and the error names the object.
4. Objects are created only, and hold what follows from freeze and code: who finds one there takes it as its own. A name is a function of what is asked,
   never of who asks, so a task that runs twice writes once.
5. Names that give away what was asked would do so to whoever lists the bucket: they are keyed digests (`address`). Sizes are not hidden.

What it does not do: say what is in it (`shuffle`), forget (`retention`), decide anything: emptying the folder costs time, never truth.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy.typing as npt

from hyperfed.codec.arrays import pack_arrays, unpack_arrays
from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.encryption import open_with, seal_with
from hyperfed.errors import ObjectNotFound, RoundError, SchemaError, SignatureError, TransportError
from hyperfed.keys import KeyPair
from hyperfed.rounds import Keys
from hyperfed.store import ObjectStore

__all__ = ["Scratch"]

Arrays = dict[str, npt.NDArray[Any]]

_REMEDY = "Somebody changed the bucket. Erase the round's scratch folder and run the round again"


class Scratch:
    """One night's scratch. keys: the coordinator's; freeze: the digest of what is merged; code: the digest of the code that merges."""

    def __init__(self, store: ObjectStore, *, keys: KeyPair, round_id: int, freeze: bytes, code: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._store, self._limits = store, limits
        run = hashlib.sha256(f"{keys.key_id}\n{code}".encode()).hexdigest()[:32]
        self.folder = Keys.scratch(round_id, f"{freeze.hex()}/{run}")
        self._key = keys.derived(b"scratch\n" + self.folder.encode())

    def address(self, content: bytes) -> str:
        """32 hexadecimal digits that name `content` to whoever has the key, and tell nobody else what it is."""
        return hashlib.blake2b(content, key=self._key, person=b"hyperfed/address", digest_size=16).hexdigest()

    def put(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Leave arrays under a name; False where something was there already, which then counts. Raises TransportError, TransientError."""
        ((_, answer),) = self.put_many([(name, arrays)])
        return answer

    def put_many(self, objects: Iterable[tuple[str, Mapping[str, npt.NDArray[Any]]]]) -> Iterator[tuple[str, bool]]:
        """`put` for several, in the order given."""
        sealed = ((key, seal_with(self._key, pack_arrays(arrays), about=key.encode())) for key, arrays in ((self.folder + n, a) for n, a in objects))
        for key, answer in self._store.put_many(sealed):
            if isinstance(answer, TransportError):
                raise answer
            yield key.removeprefix(self.folder), answer

    def get(self, name: str) -> Arrays:
        """What lies under a name. Raises RoundError where it is missing, or is not what was left there."""
        ((_, arrays),) = self.get_many([name])
        return arrays

    def find(self, name: str) -> Arrays | None:
        """What lies under a name, or None where nothing does."""
        try:
            data = self._store.read(self.folder + name, max_bytes=self._limits.max_object_bytes)
        except ObjectNotFound:
            return None
        return self._open(self.folder + name, data)

    def get_many(self, names: Iterable[str]) -> Iterator[tuple[str, Arrays]]:
        """`get` for several, in the order given, several at once where the store can."""
        for key, data in self._store.read_many((self.folder + name for name in names), max_bytes=self._limits.max_object_bytes):
            if isinstance(data, ObjectNotFound):
                raise RoundError("is gone in the middle of a merge", subject=key, rule="R-43", remedy="Run the round again: it makes what is missing")
            if isinstance(data, TransportError):
                raise data
            yield key.removeprefix(self.folder), self._open(key, data)

    def names(self, prefix: str = "") -> set[str]:
        """The names under a prefix, a whole folder of names."""
        return {info.key.removeprefix(self.folder) for info in self._store.list(self.folder + prefix)}

    def _open(self, key: str, data: bytes) -> Arrays:
        try:
            return unpack_arrays(open_with(self._key, data, about=key.encode(), subject=key))
        except (SignatureError, SchemaError) as exc:
            raise RoundError(exc.problem, subject=key, rule="R-43", remedy=_REMEDY) from exc
