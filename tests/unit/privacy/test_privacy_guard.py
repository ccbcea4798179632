"""PrivacyGuard: exact decimals, idempotent ids, persisted across processes and threads, and nothing
moves on a refusal.
"""

import multiprocessing
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from hyperfed.errors import PrivacyBudgetExhausted, PrivacyError
from hyperfed.privacy import PrivacyGuard


def test_the_references_example() -> None:
    guard = PrivacyGuard(max_epsilon=10.0, max_delta=1e-4)
    assert guard.can_proceed(epsilon=1.0, delta=1e-5)
    guard.record(epsilon=1.0, delta=1e-5)
    assert guard.remaining == (Decimal("9.0"), Decimal("0.00009"))
    with pytest.raises(PrivacyBudgetExhausted, match="exhausted"):
        raise PrivacyBudgetExhausted


def test_three_times_a_tenth_fits_into_three_tenths_and_not_a_digit_more() -> None:
    guard = PrivacyGuard(0.3, "0.000003")
    for _ in range(3):
        guard.record(epsilon=0.1, delta=1e-6)
    assert guard.remaining == (0, 0)
    assert not guard.can_proceed(epsilon="1e-90")
    with pytest.raises(PrivacyBudgetExhausted):
        guard.record(epsilon=0, delta="1e-90")
    assert guard.spent_epsilon == Decimal("0.3")


def test_what_is_tiny_beside_what_was_spent_still_counts() -> None:
    guard = PrivacyGuard(10, 0)
    guard.record(epsilon="9.99999999999999999999999999999999999999")
    guard.record(epsilon="0.00000000000000000000000000000000000001")
    assert not guard.can_proceed(epsilon="1e-50"), "28 digits would have rounded"


@pytest.mark.parametrize(
    "bad",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        -0.1,
        "NaN",
        "sNaN",
        "",
        "x",
        None,
        True,
        [1],
        "1e-101",
        "1e100",
        Decimal("-1"),
    ],
)
def test_what_is_no_cost_is_refused_and_nothing_moves(bad: object) -> None:
    guard = PrivacyGuard(1, 0.5)
    for ask in (guard.can_proceed, guard.record):
        with pytest.raises(PrivacyError):
            ask(epsilon=bad)  # type: ignore[arg-type,operator]
        with pytest.raises(PrivacyError):
            ask(epsilon=0.1, delta=bad)  # type: ignore[arg-type,operator]
    with pytest.raises(PrivacyError):
        PrivacyGuard(bad)  # type: ignore[arg-type]
    assert guard.spent_epsilon == 0
    assert guard.spent_delta == 0


def test_a_hundred_digits_before_and_after_the_point_are_added() -> None:
    guard = PrivacyGuard("1e99")
    guard.record(epsilon="1e-100")
    assert guard.remaining[0] == Decimal("9" * 99 + "." + "9" * 100)


def test_a_delta_of_one_protects_nobody() -> None:
    with pytest.raises(PrivacyError, match="below 1"):
        PrivacyGuard(1, 1)
    with pytest.raises(PrivacyError, match="below 1"):
        PrivacyGuard(1, 0.5).record(epsilon=0, delta=1)


def test_an_operation_counts_once() -> None:
    guard = PrivacyGuard(1)
    for _ in range(3):
        guard.record(epsilon=0.6, operation="round-7")
    assert guard.spent_epsilon == Decimal("0.6")
    assert guard.has_charged("round-7")
    assert not guard.has_charged("round-8")
    with pytest.raises(PrivacyError, match="was recorded with epsilon"):
        guard.record(epsilon=0.5, operation="round-7")
    guard.record(epsilon=0.1)
    guard.record(epsilon=0.1)
    assert guard.spent_epsilon == Decimal("0.8"), "without an id every record counts"


def test_no_id_can_look_like_those_without_one() -> None:
    guard = PrivacyGuard(1)
    with pytest.raises(PrivacyError, match="starts with '#'"):
        guard.record(epsilon=0.1, operation="#2")
    assert guard.spent_epsilon == 0


def test_a_file_outlives_the_guard(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "budget.json"
    PrivacyGuard(1, path=path).record(epsilon="0.7", operation="a")
    again = PrivacyGuard(1, path=path)
    assert again.spent_epsilon == Decimal("0.7")
    with pytest.raises(PrivacyBudgetExhausted):
        again.record(epsilon="0.4", operation="b")
    again.record(epsilon="0.7", operation="a")
    assert PrivacyGuard(1, path=path).remaining[0] == Decimal("0.3")


def test_a_broken_file_is_never_taken_for_an_unspent_budget(tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    for text in (
        "",
        "{}",
        '{"operations": {"a": ["NaN", "0"]}}',
        '{"operations": {"a": ["1"]}}',
        "[]",
    ):
        path.write_text(text)
        with pytest.raises(PrivacyError):
            PrivacyGuard(1, path=path)


def test_a_failed_write_leaves_the_guard_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = PrivacyGuard(1, path=tmp_path / "budget.json")
    guard.record(epsilon=0.25)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PrivacyError, match="No space left"):
        guard.record(epsilon=0.5)
    monkeypatch.undo()
    assert guard.spent_epsilon == Decimal("0.25")
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []


def _spend(path: Path, name: str) -> None:
    for n in range(10):
        try:
            PrivacyGuard(1, path=path).record(epsilon="0.1", operation=f"{name}-{n}")
        except PrivacyBudgetExhausted:
            return


def test_threads_and_processes_cannot_spend_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_spend, args=(path, f"p{i}")) for i in range(2)]
    threads = [threading.Thread(target=_spend, args=(path, f"t{i}")) for i in range(4)]
    for worker in (*processes, *threads):
        worker.start()
    for worker in (*processes, *threads):
        worker.join()
    assert PrivacyGuard(1, path=path).remaining == (0, Decimal("0.0001"))


def test_one_guard_shared_by_threads() -> None:
    guard = PrivacyGuard(1)
    refused = []

    def work() -> None:
        for _ in range(5):
            try:
                guard.record(epsilon="0.1")
            except PrivacyBudgetExhausted as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.spent_epsilon == 1
    assert len(refused) == 10


def test_a_ledgers_guard_only_shows() -> None:
    guard = PrivacyGuard.from_ledger([], max_epsilon=2, max_delta=0)
    assert guard.remaining == (2, 0)
    with pytest.raises(PrivacyError, match="only shows"):
        guard.record(epsilon=1)
