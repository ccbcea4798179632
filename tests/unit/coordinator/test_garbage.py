"""While a stage works Python looks for cycles less often; afterwards as it did, however the stage
ended and whatever else was asked for.
"""

import gc
from collections.abc import Iterator
from threading import Barrier, Thread

import pytest

from hyperfed.coordinator import garbage as collector
from hyperfed.coordinator.garbage import seldom_collecting
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if no stage worked: one that another test has left standing in its thread still does."""
    monkeypatch.setattr(collector, "_stages", 0)
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_it_is_set_back_also_where_the_stage_fails() -> None:
    seen = []

    @seldom_collecting()
    def stage() -> None:
        seen.append(gc.get_threshold())
        raise ValueError("so it is")

    with pytest.raises(ValueError, match="so it is"):
        stage()
    assert seen == [(100_000, 10, 10)]
    assert gc.get_threshold() == (700, 10, 10)


def test_stages_of_two_threads_may_end_in_any_order() -> None:
    begun, ended = Barrier(2), Barrier(2)

    def other() -> None:
        with seldom_collecting():
            begun.wait(10)
            ended.wait(10)

    thread = Thread(target=other)
    with seldom_collecting():
        thread.start()
        begun.wait(10)
    still = gc.get_threshold()[0]
    ended.wait(10)
    thread.join()
    assert still == 100_000
    assert gc.get_threshold()[0] == 700


@pytest.mark.parametrize("asked", [0, 200_000])
def test_who_has_asked_for_less_keeps_it(asked: int) -> None:
    gc.set_threshold(asked, 5, 5)
    with seldom_collecting():
        assert gc.get_threshold() == (asked, 5, 5)
    assert gc.get_threshold() == (asked, 5, 5)


def test_a_stage_works_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = SmallFederation(clients=3)
    fed.open()
    seen: list[int] = []
    drive = RoundRunner._drive

    def watched(self: RoundRunner, *args: object, **given: object) -> object:
        seen.append(gc.get_threshold()[0])
        return drive(self, *args, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(RoundRunner, "_drive", watched)
    fed.runner(1).collect(1)
    assert seen == [100_000]
    assert gc.get_threshold()[0] == 700
