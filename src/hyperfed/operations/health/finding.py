"""Define `Finding`: what one check found, how bad it is, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hyperfed.errors import (
    RESTORE_BUCKET,
    HyperfedError,
    LedgerError,
    PacketError,
    RegistryError,
    SchemaError,
)

__all__ = ["EXIT_CODES", "Finding", "Level", "worst"]


class Level(StrEnum):
    """Says how things stand, in the words of monitoring plugins."""

    GOOD = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


EXIT_CODES = {Level.GOOD: 0, Level.WARNING: 1, Level.CRITICAL: 2, Level.UNKNOWN: 3}
"""The exit codes that monitors such as Nagios, Icinga and Checkmk read."""
_OBJECTS = ("registry/", "rounds/", "ledger/")
_CORRECT = "Correct what it names; docs/troubleshooting.md has such messages"
_WORST_FIRST = (Level.CRITICAL, Level.WARNING, Level.UNKNOWN, Level.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Holds the outcome of one check."""

    name: str
    """What was checked, such as "clock"."""
    level: Level
    """How it stands."""
    said: str
    """What was found, in words."""
    remedy: str = ""
    """What to do; empty where it is good."""

    @classmethod
    def of_error(cls, name: str, error: HyperfedError, level: Level = Level.CRITICAL) -> "Finding":
        """Return what an error says, with its object, its rule and its remedy."""
        subject = f"{error.subject}: " if error.subject else ""
        rule = f" [{error.rule}]" if error.rule else ""
        # what was signed nobody corrects, nor sends a second time
        signed = isinstance(error, PacketError | RegistryError | LedgerError)
        broken = isinstance(error, SchemaError) and error.rule != "R-12"
        broken = broken and error.subject.startswith(_OBJECTS)
        remedy = RESTORE_BUCKET if broken or (signed and not error.remedy) else error.remedy
        said = f"{subject}{error.problem}{rule}"
        return cls(name=name, level=level, said=said, remedy=remedy or _CORRECT)


def worst(findings: Sequence[Finding]) -> Level:
    """Return the worst level. What is wrong weighs more than what could not be found out."""
    levels = {finding.level for finding in findings}
    return next((level for level in _WORST_FIRST if level in levels), Level.UNKNOWN)
