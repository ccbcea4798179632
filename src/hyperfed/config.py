"""Define the settings of a whole process: the limits of what is accepted, and no telemetry.

1. Limits are of one frozen type, with the unit in the name, so that an operator finds them in one
   place.
2. Prefect sends nothing home. Every process that is started here and imports Prefect takes
   `no_telemetry` first: the application's flows when they are imported, and the servers of
   `hyperfed dev` in their environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from hyperfed.errors import ConfigError

__all__ = ["DEFAULT_LIMITS", "MAX_EFFECT", "MAX_SAMPLES", "MAX_VARIABLES", "Limits", "no_telemetry"]


_NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",  # what a program that uses Prefect sends
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # the heartbeat of a server, a temporary one too
}
_PACK_FRAME_BYTES = 1 << 12  # what a pack takes beside its updates and their names, and more


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Holds the limits of what the library accepts.

    Each must be a positive integer (ConfigError).
    """

    max_update_bytes: int = 64 << 20
    """Largest envelope in the inbox, in bytes."""
    max_object_bytes: int = 256 << 20
    """Largest other object of the drop-box, in bytes."""
    max_raw_bytes: int = 256 << 20
    """Largest size that a compressed payload may declare, in bytes."""
    max_values: int = 1 << 20
    """Most values in one document, whoever wrote it; a column counts as one value."""
    max_verified_values: int = 1 << 22
    """Most values in a document of the coordinator or the roots, once its signature is verified.

    It is larger than `max_values` because registry, plan, freeze and state speak of every client.
    """
    clock_skew_s: int = 600
    """Seconds by which clocks may differ."""
    silent_windows: int = 60
    """Windows after which a clock that nothing in the drop-box bears out stops a coordinator."""
    silent_days: int = 60
    """Days for which such a clock is believed at least, however short the windows are."""
    update_lifetime_s: int = 7 * 86_400
    """Seconds after which an update expires, by default."""
    pack_bytes: int = 2 << 20
    """Size in bytes at which a pack of admitted updates is full."""
    own_receipts: int = 256
    """Most clients of a round that have a receipt of their own each; those of more share pages."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise ConfigError(
                    f"{field.name} is {value!r}; a positive integer is needed", subject="Limits"
                )

    @property
    def max_pack_bytes(self) -> int:
        """The size in bytes of the largest pack that is read.

        A pack may be nearly full before the largest update joins it. Packs that were filled with
        another `pack_bytes`, up to 16 MiB, can be read as well.
        """
        return self.max_update_bytes + max(self.pack_bytes + _PACK_FRAME_BYTES, 16 << 20)

    def for_verified(self) -> "Limits":
        """Return the limits for a document whose signature is verified."""
        return replace(self, max_values=max(self.max_values, self.max_verified_values))


DEFAULT_LIMITS = Limits()


MAX_EFFECT = 1e30
"""Largest size of an effect, or of an end of its interval, where it is merged (R-99).

Sums of squares of such numbers stay finite.
"""

MAX_SAMPLES = 1 << 63
"""Most samples of a row.

A merged table's sum is capped here; above it, sums would wrap around.
"""

MAX_VARIABLES = 1 << 24
"""Most variables of a federation, so that (source, target, lag) packs into 64 bits."""


def no_telemetry(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which Prefect sends nothing home.

    Values that `environment` already has for them stay. Prefect reads the variables when it is
    imported, so they have to be set before that.
    """
    return {name: environment.get(name, value) for name, value in _NO_TELEMETRY.items()}
