"""What is checked before a round is opened, and that nothing lies in the store where it fails."""

import pytest

from hyperfed.coordinator.opening import RoundTerms, open_checked
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import ConfigError
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.rehearsal import RehearsalStore
from hyperfed.testing.federation import SmallFederation

TERMS = RoundTerms.of(variables=[f"v{i}" for i in range(4)])


class ClockOff(MemoryStore):
    skew = 0.0

    @property
    def clock_skew_s(self) -> float | None:
        return self.skew


def test_a_stranger_s_key_leaves_nothing_in_the_store() -> None:
    federation = SmallFederation()
    before = federation.objects()
    with pytest.raises(ConfigError, match="is not the coordinator's"):
        open_checked(federation.runner(1, key_pair=KeyPair.generate()), 1, TERMS)
    assert federation.objects() == before


def test_a_clock_that_is_off_is_said_before_anything_is_signed() -> None:
    store = ClockOff()
    federation = SmallFederation(store=store)
    before = federation.objects()
    store.skew = -3600.0
    with pytest.raises(ConfigError, match="3600 s behind the store's; 600 s are tolerated"):
        open_checked(federation.runner(1), 1, TERMS)
    assert federation.objects() == before
    store.skew = 0.0
    open_checked(federation.runner(1), 1, TERMS)
    update, opened = federation.update("site-01"), federation.objects()
    store.skew = 3600.0
    with pytest.raises(ConfigError, match="ahead of the store's"):
        federation.session("site-01").submit(update, now=federation.opens(1))
    assert federation.objects() == opened


class ReadOnly(ClockOff):
    """A store that must not be written to any more, once `closed`."""

    closed = False

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        assert not self.closed, f"{key} was written in a rehearsal"
        return super().put_if_absent(key, data)


def test_a_rehearsal_writes_nothing_and_refuses_what_the_real_run_would() -> None:
    store = ReadOnly()
    federation = SmallFederation(store=store)
    before, store.closed = federation.objects(), True

    def rehearse(key_pair: KeyPair) -> str:
        above = RehearsalStore(store)
        runner = RoundRunner(
            above, key_pair=key_pair, now=federation.opens(1), fingerprint=federation.fingerprint
        )
        open_checked(runner, 1, TERMS, rehearse=True)
        return ",".join(info.key for info in above.above.list(""))

    assert rehearse(federation.coordinator) == "rounds/00000001/plan"
    with pytest.raises(ConfigError, match="is not the coordinator's"):
        rehearse(KeyPair.generate())
    store.skew = 3600.0
    with pytest.raises(ConfigError, match="ahead of the store's"):
        rehearse(federation.coordinator)
    assert federation.objects() == before
