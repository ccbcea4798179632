"""Read and publish the registry's versions, each verified against the one before it.

1. Version 1 is verified against the root fingerprint, every later one against the version before it
   (`registry.read_registry`). Nothing of a version is used before that.
2. Versions are published create-only.
3. Where fewer versions are there than the caller has seen, the drop-box was rolled back (R-50).
"""

from hyperfed.config import DEFAULT_LIMITS, Limits
from hyperfed.crypto.proofs import proof_of
from hyperfed.errors import ObjectNotFound, RegistryError
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Registry, read_registry
from hyperfed.storage.store import ObjectStore

__all__ = ["RegistryChain", "load_registry", "publish_registry"]


class RegistryChain:
    """Holds the versions of a registry from the first on.

    `fingerprint` is what version 1's roots must have; with None it is not compared.
    """

    def __init__(self, *, fingerprint: str | None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._fingerprint, self._limits = fingerprint, limits
        self.versions: list[tuple[Registry, bytes]] = []
        self._proofs: dict[int, bytes] = {}

    def append(self, data: bytes, *, subject: str) -> None:
        """Verify the bytes of the next version, and append it as (registry, digest).

        Raises RegistryError or PacketError.
        """
        self.versions.append(
            read_registry(
                data,
                before=self.versions[-1] if self.versions else None,
                fingerprint=None if self.versions else self._fingerprint,
                subject=subject,
                limits=self._limits,
            )
        )
        self._proofs = {len(self.versions): proof_of(data)}

    @property
    def proof(self) -> bytes:
        """The roots' signed header of the newest version; empty where it is too long."""
        return self._proofs.get(len(self.versions), b"")

    def read_new(self, store: ObjectStore, *, until: int | None = None) -> list[bytes]:
        """Append the versions that follow in the drop-box, and return their bytes.

        until: the last version, which must be there; None: the newest. Nothing is appended where
        one of them is refused. Raises RegistryError, PacketError or TransportError.
        """
        versions_before, read = len(self.versions), list[bytes]()
        try:
            while until is None or len(self.versions) < until:
                key = Keys.registry(len(self.versions) + 1)
                try:
                    data = store.read(key, max_bytes=self._limits.max_object_bytes)
                except ObjectNotFound:
                    if until is not None:
                        raise
                    break
                self.append(data, subject=key)
                read.append(data)
        except BaseException:
            del self.versions[versions_before:]
            raise
        return read

    def newest(self, *, not_below: int = 0) -> tuple[Registry, bytes]:
        """Return (registry, digest) of the newest version.

        Raises RegistryError where there is none, or fewer than `not_below`, the highest version
        that the caller has seen.
        """
        if not self.versions:
            raise RegistryError(
                "this drop-box has no registry",
                subject=Keys.registry(1),
                remedy="Check bucket and prefix, or that the share is mounted. A new federation's "
                "first is made with `hyperfed registry init`",
            )
        if len(self.versions) < not_below:
            raise RegistryError(
                f"the newest version is {len(self.versions)}, this machine has seen {not_below}",
                subject="registry",
                rule="R-50",
                remedy="The drop-box was rolled back; ask the operator",
            )
        return self.versions[-1]


def load_registry(
    store: ObjectStore, *, fingerprint: str | None, limits: Limits = DEFAULT_LIMITS
) -> tuple[Registry, bytes]:
    """Return (registry, digest) of the newest version in the drop-box, verified from version 1.

    Raises RegistryError, PacketError or TransportError.
    """
    chain = RegistryChain(fingerprint=fingerprint, limits=limits)
    chain.read_new(store)
    return chain.newest()


def publish_registry(store: ObjectStore, data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> str:
    """Create the object of the next registry version, and return its key.

    The version is verified against those in the drop-box first. Raises RegistryError where it does
    not follow from them, or where another version already has its number.
    """
    chain = RegistryChain(fingerprint=None, limits=limits)
    chain.read_new(store)
    chain.append(data, subject="registry")
    key = Keys.registry(len(chain.versions))
    if (
        not store.put_if_absent(key, data)
        and store.read(key, max_bytes=limits.max_object_bytes) != data
    ):
        raise RegistryError(
            "another registry already holds this version",
            subject=key,
            rule="R-23",
            remedy="Load it, and sign the next version on top of it",
        )
    return key
