"""Turn received bytes into an admitted update, or into a refusal with object, rule and remedy."""

from hyperfed.validator.validator import PacketValidator

__all__ = ["PacketValidator"]
