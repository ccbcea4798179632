"""Define who speaks with which key: the records of clients and keys in a registry (R-22, R-25)."""

from dataclasses import dataclass

from hyperfed.crypto.keys import PublicKeys
from hyperfed.errors import RegistryError
from hyperfed.registry.windows import check_client_id

__all__ = ["ClientRecord", "KeyRecord"]

_FOREVER = (1 << 53) - 1
# the names of other parties in headers
_RESERVED_IDS = frozenset({"all", "auditor", "clients", "coordinator", "registry", "root"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """Holds a pair of public keys and the rounds in which it is valid."""

    keys: PublicKeys
    """The public keys."""
    valid_from: int = 1
    """First round in which they may speak."""
    valid_until: int = _FOREVER
    """Last round in which they may speak."""

    def __post_init__(self) -> None:
        if not 0 <= self.valid_from <= self.valid_until <= _FOREVER:
            raise RegistryError(
                f"valid from round {self.valid_from} until {self.valid_until}",
                subject=self.keys.key_id,
                rule="R-25",
            )

    def valid_in(self, round_id: int) -> bool:
        return self.valid_from <= round_id <= self.valid_until


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """Describes a client of the federation."""

    client_id: str
    """Client id (R-22); not the name of another party."""
    organisation: str
    """Name of the organisation, at most 200 printable characters."""
    basket: str = "default"
    """Basket (domain group), at most 200 printable characters."""
    keys: tuple[KeyRecord, ...]
    """The client's keys, at least one; several overlap while they rotate."""

    def __post_init__(self) -> None:
        check_client_id(self.client_id)
        if self.client_id in _RESERVED_IDS:
            raise RegistryError(
                "is the name of another party",
                subject=self.client_id,
                rule="R-22",
                remedy="Choose another client id",
            )
        for name, text in (("organisation", self.organisation), ("basket", self.basket)):
            if len(text) > 200 or not text.isprintable():
                raise RegistryError(
                    f"{name} is not a text of at most 200 printable characters",
                    subject=self.client_id,
                    rule="R-22",
                )
        if not self.keys:
            raise RegistryError("has no key", subject=self.client_id, rule="R-32")
