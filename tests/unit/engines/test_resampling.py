"""Resamples over processes: seeded, the same however many run, and ended with the run."""

import os
import time
from dataclasses import dataclass

import numpy as np
import pytest

from hyperfed.engines.resampling import resampled
from hyperfed.errors import EngineError

pytestmark = pytest.mark.unit

DATA = np.arange(12.0).reshape(6, 2)


@dataclass(frozen=True, kw_only=True)
class MeanFit:
    """The means of a resample: a discovery that is quick."""

    factor: float = 1.0
    fails_above: float = 1e9

    def prepare(self) -> None:
        print("what a library prints is no answer")

    def resample(self, data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return data[rng.integers(0, len(data), len(data))]

    def votes(self, data: np.ndarray) -> np.ndarray:
        print("nor is this")
        if data.mean() > self.fails_above:
            raise ValueError("a resample that cannot be fitted")
        return self.factor * data.mean(axis=0)


def test_the_votes_do_not_depend_on_how_many_processes_there_are() -> None:
    here = resampled(MeanFit(factor=2.0), DATA, count=7, seed=3, processes=0)
    there = resampled(MeanFit(factor=2.0), DATA, count=7, seed=3, processes=2)
    assert here.shape == (7, 2)
    assert np.array_equal(here, there)
    assert len(np.unique(here[:, 0])) > 1, "each resample has a seed of its own"
    assert not np.array_equal(
        here, resampled(MeanFit(factor=2.0), DATA, count=7, seed=4, processes=0)
    )
    few = resampled(MeanFit(factor=2.0), DATA, count=3, seed=3, processes=0)
    assert np.array_equal(few, here[:3])


def test_progress_is_told_after_each_resample_and_ends_with_nothing_left() -> None:
    told: list[tuple[int, int, float]] = []
    resampled(
        MeanFit(), DATA, count=4, seed=0, processes=0, progress=lambda *said: told.append(said)
    )
    assert [said[:2] for said in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[-1][2] == 0


def test_what_fails_in_a_child_is_told_with_its_resample() -> None:
    with pytest.raises(EngineError, match=r"resample \d cannot be fitted: ValueError: a resample"):
        resampled(MeanFit(fails_above=0.0), DATA, count=2, seed=0, processes=1)


def _children() -> set[int]:
    """The processes that this one started and that are still there."""
    path = f"/proc/self/task/{os.getpid()}/children"
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - no regular file
        return {int(word) for word in file.read().split()}


def test_an_interrupt_ends_the_children_and_goes_on_up() -> None:
    before = _children()
    seen: set[int] = set()

    def interrupt(done: int, total: int, left: float) -> None:
        seen.update(_children() - before)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resampled(MeanFit(), DATA, count=50, seed=0, processes=2, progress=interrupt)
    assert seen, "children ran"
    deadline = time.monotonic() + 10
    while _children() & seen and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _children() & seen
