"""Hold what the parts of an audit share: the drop-box, the rounds so far, and the findings."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from hyperfed.config import Limits
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import HyperfedError, RoundError, TransientError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit.report import Finding
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.object_keys import parse_key
from hyperfed.protocol.objects import (
    RoundState,
)
from hyperfed.storage.store import ObjectInfo, ObjectStore

__all__ = ["AuditContext", "History", "require"]


@dataclass(slots=True)
class History:
    """Holds what the rounds before say."""

    states: dict[int, Stored[RoundState]] = field(default_factory=dict)
    """The state of each committed round."""
    models: dict[int, GlobalModel] = field(default_factory=dict)
    """The model of each committed round."""
    windows: dict[tuple[str, int], int] = field(default_factory=dict)
    """The committed round that counted a client for a window, by (client, window)."""
    named: set[str] = field(default_factory=set)
    """The inbox keys that committed freezes count or refuse, or that are a finding already."""
    registry_version: int = 0
    """The newest registry version that a round has named."""
    formula: int = 1
    """The highest formula of a committed round."""


class AuditContext:
    """Holds the drop-box that is audited, what its rounds say so far, and what was found.

    `inbox` holds what lies in clients' folders, by round, and `ledger` the entries that verify.
    `history` is what later rounds are compared with. `checked` counts by kind what was found right,
    and `sealed_sums` the opened sums that were not added up, as their messages are sealed.
    """

    def __init__(
        self,
        store: ObjectStore,
        fingerprint: str | None,
        key_pair: KeyPair | None,
        limits: Limits,
        now: datetime | None = None,
    ) -> None:
        self.store, self.key_pair, self.limits = store, key_pair, limits
        self.reader = DropBoxReader(store, fingerprint=fingerprint, limits=limits, now=now)
        self.sets = FrozenSets(store=store, reader=self.reader, key_pair=key_pair, limits=limits)
        self.checked: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.remarks: list[str] = []
        self.ledger: list[Chained] = []
        self.history = History()
        self.inbox: dict[int, list[ObjectInfo]] = {}
        self.sealed_sums = 0

    @contextmanager
    def finding(self, key: str, counts: str = "") -> Iterator[None]:
        """Turn an error of the code inside into a finding.

        The finding is about the object that the error names, or else about `key`. Without an error
        the count of `counts` goes up by one, unless it is empty. Raises TransientError as it comes.
        """
        try:
            yield
        except TransientError:
            raise
        except HyperfedError as error:
            subject = error.subject.split(" ")[0].removeprefix("memory:")
            self.broken(
                subject if parse_key(subject).kind else key, error.problem, error.rule, error.remedy
            )
        else:
            if counts:
                self.checked[counts] += 1

    def broken(self, key: str, problem: str, rule: str = "", remedy: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(key=key, problem=problem, rule=rule, remedy=remedy))


def require(holds: bool, key: str, problem: str, rule: str) -> None:
    """Raise RoundError about the object at `key` unless `holds`."""
    if not holds:
        raise RoundError(problem, subject=key, rule=rule)
