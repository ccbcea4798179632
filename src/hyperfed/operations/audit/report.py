"""Report what an audit found."""

from dataclasses import dataclass, field

from hyperfed.protocol.heads import Head

__all__ = ["AuditReport", "Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Describes a broken object."""

    key: str
    """The object's key."""
    problem: str
    """What is wrong with it."""
    rule: str = ""
    """The id of the rule that it breaks; may be empty."""
    remedy: str = ""
    """What to do about it; may be empty."""

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" + (f" [{self.rule}]" if self.rule else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """Holds the outcome of an audit."""

    federation: str
    """The federation's name; empty where the registry does not verify."""
    checked: dict[str, int]
    """The number of objects of each kind that hold."""
    findings: tuple[Finding, ...]
    """The broken objects, in the order of the audit's rules."""
    remarks: tuple[str, ...]
    """What breaks no rule but is worth knowing."""
    head: Head = field(default_factory=lambda: Head(sequence=0, digest=""))
    """Where the verified ledger ends."""

    @property
    def ok(self) -> bool:
        """Whether nothing is broken."""
        return not self.findings

    @property
    def first_broken(self) -> str | None:
        """The first broken object's key; None where nothing is broken."""
        return self.findings[0].key if self.findings else None
