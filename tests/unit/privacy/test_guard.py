"""`PrivacyGuard` with noise, and over restarts; its arithmetic and its locks are tested in
tests/unit/privacy/test_privacy_guard.py.
"""

from decimal import Decimal
from pathlib import Path

import pytest

from hyperfed.errors import PrivacyBudgetExhausted, PrivacyError
from hyperfed.privacy import PrivacyGuard
from hyperfed.privacy.mechanisms import plan_release

pytestmark = pytest.mark.unit

NIGHT = plan_release(
    epsilon=Decimal(1), delta=Decimal("0.00001"), clip_norm=1.0, slots=100
).mechanism


def test_the_tenth_is_accepted_and_the_eleventh_refused_after_restarts_in_between(
    tmp_path: Path,
) -> None:
    for night in range(10):
        PrivacyGuard(path=tmp_path / "spent").record(
            epsilon=1, delta=1e-5, operation=f"round/{night}"
        )
    guard = PrivacyGuard(path=tmp_path / "spent")
    before = (tmp_path / "spent").read_bytes()
    with pytest.raises(PrivacyBudgetExhausted):
        guard.record(epsilon=1, delta=1e-5, operation="round/10")
    assert (tmp_path / "spent").read_bytes() == before
    assert guard.spent_epsilon == 10


def test_noise_is_charged_as_noise_and_survives_a_restart(tmp_path: Path) -> None:
    for night in range(58):
        PrivacyGuard(path=tmp_path / "spent").charge([NIGHT], operation=f"{night}")
    guard = PrivacyGuard(path=tmp_path / "spent")
    assert not guard.can_charge([NIGHT])
    with pytest.raises(PrivacyBudgetExhausted, match="RDP filter"):
        guard.charge([NIGHT])
    assert guard.accountant.mechanisms == (NIGHT,) * 58


def test_a_record_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "spent").write_text('{"operations": {"a": [{"kind": "gaussian"}]}}')
    with pytest.raises(PrivacyError, match="cannot be read"):
        PrivacyGuard(path=tmp_path / "spent")


def test_a_guard_of_a_ledger_only_shows() -> None:
    with pytest.raises(PrivacyError, match="only shows"):
        PrivacyGuard.from_ledger([], max_epsilon=1, max_delta=0).record(epsilon=0.1)
