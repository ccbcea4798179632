"""Lengths of time as people write them: 90s, 30m, 24h, 1d."""

import re

from hyperfed.errors import ConfigError

__all__ = ["duration"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(text: str, *, subject: str = "time") -> float:
    """Seconds. Raises ConfigError."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhd])", text.strip())
    if found is None:
        raise ConfigError(f"{text!r:.40} is no length of time", subject=subject, remedy="Write it as 90s, 30m, 24h or 1d")
    return float(found[1]) * _UNITS[found[2]]
