"""The fault lab: 200 seeded schedules, `hyperfed audit` after each, and each fault seen to have
struck. R-60 to R-69, R-110 to R-114.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyperfed.errors import HyperfedError
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.fault import mistakes
from tests.fault.lab import LACKS, MachineLab, at_the_store, finish, founded, in_turns
from tests.fault.turns import Box

NETWORK = {"lost request", "lost reply", "duplicate", "killed", "delay", "clock", "restart"}
IN_MEMORY, IN_A_FOLDER, POOR = 120, 30, 50
_BLOCK = 15


@pytest.fixture(scope="module")
def nights() -> dict[bool, SmallFederation]:
    """The drop-box that every schedule in memory begins with, without and with noise."""
    return {private: founded(Box(), private=private) for private in (False, True)}


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[pytest.mark.slow] if first else [])
        for first in range(0, IN_MEMORY, _BLOCK)
    ],
)
def test_three_coordinators_on_a_bad_network_leave_a_drop_box_that_audits(
    nights: dict[bool, SmallFederation], first: int
) -> None:
    struck: Counter[str] = Counter()
    for number in range(first, first + _BLOCK):
        struck += in_turns(number, at_the_store(nights[number % 2 == 1]))
    assert struck.keys() == NETWORK, struck


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_coordinators_on_a_share_that_is_mounted_again(tmp_path: Path) -> None:
    struck: Counter[str] = Counter()
    for number in range(1000, 1000 + IN_A_FOLDER):
        folder = tmp_path / str(number)
        folder.mkdir()
        fed = founded(FilesystemStore(folder), private=number % 2 == 1)
        struck += in_turns(number, fed, lambda folder=folder: FilesystemStore(folder))
    assert struck.keys() == NETWORK, struck


@pytest.fixture
def machines() -> Iterator[MachineLab]:
    lab = MachineLab()
    yield lab
    lab.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_machine_that_lacks_something_says_so_and_another_one_finishes(
    machines: MachineLab, tmp_path: Path
) -> None:
    """Descriptors, memory, a home and a temporary folder that take nothing, a disk without room.
    What happened is an error of ours or a death, never one that would be called our bug.
    """
    struck: Counter[str] = Counter()
    for number in range(POOR):
        folder = tmp_path / str(number)
        folder.mkdir()
        fed = founded(FilesystemStore(folder), private=number % 2 == 1)
        lack, ended = machines.play(number, fed, folder)
        if ended != "ended":
            struck[lack] += 1
    assert struck.keys() == {*LACKS}, struck


@pytest.mark.slow
@pytest.mark.seaweedfs
@pytest.mark.timeout(900)
def test_the_store_is_restarted_in_mid_round(tmp_path: Path) -> None:
    """A handful of schedules against a server that is ended and started again between two of a
    coordinator's operations.
    """
    from hyperfed.storage.retrying import RetryingStore

    with SeaweedFS(tmp_path / "seaweedfs") as server:
        for number in range(3):
            store = server.store("lab", prefix=f"n{number}", create=number == 0)
            fed = founded(store, private=number % 2 == 1)
            restarts = _Restarting(server, after=random.Random(number).randint(5, 40))
            runner = fed.runner(1, store=RetryingStore(store, sleep=restarts.sleep))
            restarts.watch(store)
            runner.run(1)
            assert restarts.struck
            finish(fed)


class _Restarting:
    """Ends the server before an operation, and starts it again while the caller waits."""

    def __init__(self, server: SeaweedFS, *, after: int) -> None:
        self.server, self.left, self.struck = server, after, False

    def watch(self, store: object) -> None:
        for name in ("put_if_absent", "create_once", "read", "read_once", "head"):
            setattr(store, name, self._counted(getattr(store, name)))

    def _counted(self, operation: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            self.left -= 1
            if self.left == 0:
                self.server.stop()
            return operation(*args, **kwargs)

        return counted

    def sleep(self, _: float) -> None:
        if not self.server.running:
            self.struck = True
            self.server.start()


@pytest.mark.parametrize(
    "careless",
    [
        mistakes.freeze_over,
        mistakes.no_id,
        mistakes.no_order,
        mistakes.publish_first,
        mistakes.refund_nothing,
    ],
    ids=lambda seed: seed.__name__,
)
def test_the_lab_catches_a_coordinator_that_makes_a_classic_mistake(
    nights: dict[bool, SmallFederation],
    careless: mistakes.Seed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test of the lab: with the mistake in the code, some schedule fails."""
    over = careless(monkeypatch)

    def some_schedules() -> None:
        for number in range(40):
            in_turns(number, at_the_store(nights[number % 2 == 1], over=over))

    with pytest.raises((AssertionError, HyperfedError)):
        some_schedules()
