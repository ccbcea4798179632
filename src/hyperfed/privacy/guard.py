"""Guard a privacy budget: say whether something may be spent, and what is left.

1. Sums are exact: numbers are taken as the decimals they are written as, so that three times 0.1
   fits into 0.3, and are added without rounding. What was recorded as (epsilon, delta) adds up
   (Dwork and Roth 2014, Theorem 3.16); what was charged as noise composes as in `accountant`.
2. NaN, infinite and negative values, delta >= 1, and what lies beyond 100 decimal places are
   refused before anything is compared.
3. Records are idempotent by operation id: recording the same operation again changes nothing; the
   same id with other numbers is an error. Without an id every record counts.
4. Records are persistent: with `path`, each is on disk (fsynced) before `record` returns, under a
   lock that other processes honour. A guard of a federation reads its ledger instead
   (`PrivacyGuard.from_ledger`): a new machine knows what was spent.

What it does not do: add noise, or compose (`accountant` does).
"""

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from hyperfed.errors import HyperfedError, PrivacyBudgetExhausted, PrivacyError
from hyperfed.privacy.accountant import PrivacyAccountant, charges_of
from hyperfed.protocol.entries import (
    Mechanism,
)
from hyperfed.protocol.ledger import Chained, exact_sum
from hyperfed.storage.local_files import alone_with, write_durably

__all__ = ["PrivacyBudgetExhausted", "PrivacyGuard"]

_REMEDY = "Nothing was recorded; do not spend"

Number = float | int | str | Decimal


def _exact(name: str, value: Number) -> Decimal:
    """Return the decimal that `value` is written as.

    Raises PrivacyError for anything but a finite number of at least 0, for more than 100 digits
    before or after the point, and for a delta of 1 or more.
    """
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or number < 0:
        raise PrivacyError(
            f"{name} is {value!r}; a finite number of at least 0 is needed", subject="privacy guard"
        )
    if number.adjusted() >= 100 or int(number.as_tuple().exponent) < -100:
        raise PrivacyError(
            f"{name} is {value!r:.60}; at most 100 digits before and after the point are added "
            "exactly",
            subject="privacy guard",
        )
    if name.endswith("delta") and number >= 1:
        raise PrivacyError(f"{name} is {value!r}; a delta is below 1", subject="privacy guard")
    return number


def _basic(epsilon: Number, delta: Number) -> Mechanism:
    return Mechanism(kind="basic", epsilon=_exact("epsilon", epsilon), delta=_exact("delta", delta))


def _shown(mechanisms: tuple[Mechanism, ...]) -> str:
    return (
        ", ".join(
            f"epsilon {m.epsilon} and delta {m.delta}"
            + (f" (noise {m.sigma}/{m.sensitivity})" if m.sigma else "")
            for m in mechanisms
        )
        or "nothing"
    )


def _plain(mechanism: Mechanism) -> dict[str, str | int]:
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in asdict(mechanism).items()
        if value
    }


def _read(plain: dict[str, Any]) -> Mechanism:
    numbers = {
        name: _exact(name, plain.get(name, "0")) for name in ("epsilon", "delta", "selection_delta")
    }
    return Mechanism(**(plain | numbers))


class PrivacyGuard:
    """Holds a budget of (max_epsilon, max_delta), and what was spent of it.

    `path` names a file that holds what was spent. Every process that names the same file shares the
    budget. Raises PrivacyError where the file cannot be read.
    """

    def __init__(
        self,
        max_epsilon: Number = 10.0,
        max_delta: Number = 1e-4,
        *,
        path: Path | str | None = None,
    ) -> None:
        self.max_epsilon, self.max_delta = (
            _exact("max_epsilon", max_epsilon),
            _exact("max_delta", max_delta),
        )
        self._path = Path(path) if path is not None else None
        self._operations: dict[str, tuple[Mechanism, ...]] = {}
        self._lock = threading.Lock()
        self._read_only = False
        with self._locked():
            pass

    def __deepcopy__(self, memo: dict[int, Any]) -> "PrivacyGuard":
        """Return a guard of its own that has spent the same; with a file, one of the same file."""
        other = PrivacyGuard(self.max_epsilon, self.max_delta, path=self._path)
        other._operations, other._read_only = dict(self._operations), self._read_only
        return other

    @classmethod
    def from_ledger(
        cls, entries: Sequence[Chained], *, max_epsilon: Number, max_delta: Number
    ) -> "PrivacyGuard":
        """Return a guard that knows what a federation's verified ledger has spent.

        Nothing can be recorded with it: a round spends by its reserve (step 4).
        """
        guard = cls(max_epsilon, max_delta)
        guard._operations = {
            f"ledger/{number}": (mechanism,)
            for number, (_, mechanism) in enumerate(charges_of(entries), 1)
        }
        guard._read_only = True
        return guard

    @property
    def spent_epsilon(self) -> Decimal:
        """The epsilon that is spent as of now, also by other processes."""
        with self._locked():
            return self._spent()[0]

    @property
    def spent_delta(self) -> Decimal:
        """The delta that is spent as of now, also by other processes."""
        with self._locked():
            return self._spent()[1]

    @property
    def remaining(self) -> tuple[Decimal, Decimal]:
        """The (epsilon, delta) that is left."""
        with self._locked():
            return self._left()

    @property
    def accountant(self) -> PrivacyAccountant:
        """The accountant of what was spent, which knows totals and the rounds left."""
        with self._locked():
            return self._accountant()

    def _accountant(self) -> PrivacyAccountant:
        return PrivacyAccountant(
            epsilon=self.max_epsilon,
            delta=self.max_delta,
            mechanisms=tuple(m for ms in self._operations.values() for m in ms),
        )

    def _spent(self) -> tuple[Decimal, Decimal]:
        total = self._accountant().total
        return total.epsilon, total.delta

    def _left(self) -> tuple[Decimal, Decimal]:
        epsilon, delta = self._spent()
        return exact_sum([self.max_epsilon, epsilon.copy_negate()]), exact_sum(
            [self.max_delta, delta.copy_negate()]
        )

    def can_proceed(self, *, epsilon: Number, delta: Number = 0) -> bool:
        """Return whether an operation of this cost fits into what is left.

        Raises PrivacyError for values that are no cost.
        """
        return self.can_charge((_basic(epsilon, delta),))

    def can_charge(self, mechanisms: Iterable[Mechanism]) -> bool:
        """Return whether these mechanisms, all together, fit into what is left."""
        with self._locked():
            return self._accountant().fits(mechanisms)

    def has_charged(self, operation: str) -> bool:
        """Return whether an operation of this id was recorded."""
        with self._locked():
            return operation in self._operations

    def record(self, *, epsilon: Number, delta: Number = 0, operation: str | None = None) -> None:
        """Spend (epsilon, delta).

        `operation` is an id; an operation that was recorded under it before is not spent again.
        Raises PrivacyBudgetExhausted where the cost does not fit, and PrivacyError where a value is
        no cost or the id stands for another cost. Nothing is recorded then.
        """
        self.charge((_basic(epsilon, delta),), operation=operation)

    def charge(self, mechanisms: Iterable[Mechanism], *, operation: str | None = None) -> None:
        """Spend mechanisms, all or none of them. Raises the errors of `record`."""
        cost = tuple(mechanisms)
        if self._read_only:
            raise PrivacyError(
                "only shows what the ledger says",
                subject="privacy guard",
                remedy="Record nothing here: a round spends by its reserve",
            )
        if operation is not None and operation.startswith("#"):
            raise PrivacyError(
                "starts with '#', as operations without an id do",
                subject=f"operation {operation!r:.60}",
                remedy="Choose another id",
            )
        with self._locked():
            name = f"#{len(self._operations) + 1}" if operation is None else operation
            recorded = self._operations.get(name)
            if recorded is not None:
                if recorded != cost:
                    raise PrivacyError(
                        f"was recorded with {_shown(recorded)}, now {_shown(cost)}",
                        subject=f"operation {name!r:.60}",
                        remedy="Choose another id: an id names one operation",
                    )
                return
            why = self._accountant().why_not(cost)
            if why is not None:
                epsilon, delta = self._left()
                raise PrivacyBudgetExhausted(
                    f"{_shown(cost)} does not fit into what is left, {epsilon} and {delta}: {why}",
                    subject="privacy guard",
                    remedy=(
                        "Nothing was recorded. Ask for less, or let the registry's roots decide "
                        "on a new budget"
                    ),
                )
            operations = self._operations | {name: cost}
            self._save(operations)
            self._operations = operations

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file alone.

        The file is read first, since another process may have spent.
        """
        with self._lock:
            if self._path is None:
                yield
                return
            with alone_with(self._path, error=PrivacyError, remedy=_REMEDY):
                self._load(self._path)
                yield

    def _load(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            document = json.loads(path.read_text())
            self._operations = {
                name: tuple(_read(m) for m in mechanisms)
                for name, mechanisms in document["operations"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, HyperfedError) as exc:
            raise PrivacyError(
                "the record of what was spent cannot be read",
                subject=str(path),
                remedy="Restore it from a backup: starting anew would spend the budget twice",
            ) from exc

    def _save(self, operations: dict[str, tuple[Mechanism, ...]]) -> None:
        if self._path is None:
            return
        document = {
            "max_epsilon": str(self.max_epsilon),
            "max_delta": str(self.max_delta),
            "operations": {
                name: [_plain(m) for m in mechanisms] for name, mechanisms in operations.items()
            },
        }
        write_durably(
            self._path, json.dumps(document, indent=1), error=PrivacyError, remedy=_REMEDY
        )
