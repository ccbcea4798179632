"""From received bytes to an admitted update, or a refusal that names object, rule and remedy."""

from hyperfed.validator.validator import PacketValidator

__all__ = ["PacketValidator"]
