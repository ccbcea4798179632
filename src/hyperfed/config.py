"""Frozen limits: what is accepted at most, with the unit in the name. One type, so that an operator finds them in one place."""

from dataclasses import dataclass, fields, replace

from hyperfed.errors import ConfigError

__all__ = ["DEFAULT_LIMITS", "Limits"]

_PACK_FRAME_BYTES = 1 << 12  # what a pack takes beside its updates and their names, and more


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the library accepts.

    max_update_bytes: an envelope in the inbox; max_object_bytes: any other object of the drop-box; max_raw_bytes: what a compressed
    payload may declare; max_values: values in one document (columns count as one), whoever wrote it; max_verified_values: values in a document of the
    coordinator or the roots, once its signature is verified: registry, plan, freeze and state speak of every client; clock_skew_s: tolerated difference of
    clocks;
    update_lifetime_s: an update's default time to its expiry; pack_bytes: at how many bytes a pack of admitted updates is full;
    own_receipts: up to how many clients of a round have a receipt of their own; those of more share pages.
    """

    max_update_bytes: int = 64 << 20
    max_object_bytes: int = 256 << 20
    max_raw_bytes: int = 256 << 20
    max_values: int = 1 << 20
    max_verified_values: int = 1 << 22
    clock_skew_s: int = 600
    update_lifetime_s: int = 7 * 86_400
    pack_bytes: int = 2 << 20
    own_receipts: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"{field.name} is {value!r}; a positive integer is needed", subject="Limits")

    @property
    def max_pack_bytes(self) -> int:
        """A pack as it is read: full but for the largest update, by whatever `pack_bytes` up to 16 MB it was filled."""
        return self.max_update_bytes + max(self.pack_bytes + _PACK_FRAME_BYTES, 16 << 20)

    def for_verified(self) -> "Limits":
        """What holds for a document whose signature is verified."""
        return replace(self, max_values=max(self.max_values, self.max_verified_values))


DEFAULT_LIMITS = Limits()
