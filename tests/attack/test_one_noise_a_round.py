"""Who tries to see the same sum under several draws of noise, and what they get (R-110 to R-112).

The bucket sees every result that it refuses to keep. A retry, a second coordinator and a restored
bucket release the same sum again. Each ends in one value for one charge.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from hyperfed.coordinator.release_marks import ReleaseMarks
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.errors import ObjectNotFound, RoundError, TransientError
from hyperfed.operations.audit import audit
from hyperfed.operations.retention import prune
from hyperfed.packets import PolicyPack
from hyperfed.privacy.accountant import charges_of
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from hyperfed.storage.store import ObjectInfo, ObjectStore
from hyperfed.testing.federation import SmallFederation

CENTRAL = PolicyPack(
    strategy="mean",
    privacy="central",
    privacy_epsilon=Decimal(8),
    privacy_delta=Decimal("0.0001"),
    clip_norm=1.2,
    trust_min=0,
    max_lag=1,
)
RICH = Budget(epsilon=Decimal(40), delta=Decimal("0.001"))


class Bucket(ObjectStore):
    """A bucket that refuses to keep results while it reads them, and takes objects away."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner, self.refuses = inner, True
        self.seen: list[bytes] = []
        self.gone: set[str] = set()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if key.endswith("/result") and self.refuses:
            self.seen.append(bytes(data))
            raise TransientError("503 Slow Down", subject=key)
        return self.inner.put_if_absent(key, data)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        if key in self.gone:
            raise ObjectNotFound("is not there", subject=key)
        return self.inner.read(key, max_bytes=max_bytes)

    def head(self, key: str) -> ObjectInfo | None:
        return None if key in self.gone else self.inner.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (info for info in self.inner.list(prefix) if info.key not in self.gone)


def opened(policy: PolicyPack = CENTRAL) -> tuple[SmallFederation, Bucket]:
    fed = SmallFederation(clients=6, budget=RICH, policy=policy)
    fed.open(1)
    fed.submit_all(round_id=1)
    return fed, Bucket(fed.store)


def refused(fed: SmallFederation, bucket: Bucket, times: int = 3) -> None:
    for _ in range(times):
        with pytest.raises(TransientError):
            fed.runner(1, store=bucket).run(1)


def kinds(fed: SmallFederation) -> Sequence[str]:
    return [c.entry.kind.value for c in fed.reader().ledger()]


@pytest.mark.parametrize(
    "policy",
    [CENTRAL, replace(CENTRAL, basket_minimum=2), replace(CENTRAL, discovery="selected")],
    ids=["public", "baskets", "selected"],
)
def test_a_bucket_that_refuses_every_result_sees_one(policy: PolicyPack) -> None:
    fed, bucket = opened(policy)
    refused(fed, bucket)
    bucket.refuses = False
    assert fed.runner(1, store=bucket).run(1).why is Why.COMMITTED
    assert len(bucket.seen) > 30
    assert {*bucket.seen} == {fed.store.read(Keys.result(1), max_bytes=1 << 20)}
    assert kinds(fed) == ["reserve", "commit"]


def test_a_seed_that_is_taken_away_ends_the_round_and_stays_charged() -> None:
    """R-111 and R-112."""
    fed, bucket = opened()
    refused(fed, bucket, 1)
    bucket.gone.add(Keys.noise(1))
    bucket.refuses = False
    assert fed.runner(1, store=bucket).run(1).why is Why.VOID
    assert kinds(fed) == ["reserve", "void"]
    assert len(charges_of(fed.reader().ledger())) == 1, "somebody has seen a value"
    assert len({*bucket.seen}) == 1


def test_a_seed_that_is_replaced_ends_the_round_too() -> None:
    fed, bucket = opened()
    refused(fed, bucket, 1)
    other, _ = opened()
    other.run(1)
    fed.store.forget(Keys.noise(1))
    fed.store.put_if_absent(Keys.noise(1), other.store.read(Keys.noise(1), max_bytes=1 << 20))
    bucket.refuses = False
    assert fed.runner(1, store=bucket).run(1).why is Why.VOID
    assert len({*bucket.seen}) == 1


def test_rubbish_in_the_seeds_place_costs_a_round_and_no_budget() -> None:
    """Before the reserve nothing was shown, so nothing is charged."""
    fed, _ = opened()
    fed.store.put_if_absent(Keys.noise(1), b"rubbish")
    assert fed.run(1).why is Why.VOID
    assert kinds(fed) == ["void"]
    assert not charges_of(fed.reader().ledger())


def test_a_restored_bucket_is_not_shown_another_value_by_the_same_machine() -> None:
    """The freeze of the second world has another time, and so another digest and other noise."""
    fed, _ = opened()
    backup, marks = fed.twin(), ReleaseMarks()

    def runner(world: SmallFederation) -> RoundRunner:
        return RoundRunner(
            world.store,
            key_pair=world.coordinator,
            now=world.night(1),
            fingerprint=world.fingerprint,
            marks=marks,
        )

    assert runner(fed).run(1).why is Why.COMMITTED
    with pytest.raises(RoundError, match="another value of this round was shown before"):
        runner(backup).run(1)
    assert backup.reader().result(1) is None
    assert runner(fed).run(1).why is Why.COMMITTED  # the honest twin goes on


def test_a_round_without_noise_needs_no_seed_and_its_void_refunds() -> None:
    fed = SmallFederation(clients=6)
    fed.play(1)
    assert fed.store.head(Keys.noise(1)) is None


def test_the_seed_is_erased_once_the_round_has_ended() -> None:
    fed, _ = opened()
    fed.run(1)
    report = audit(fed.store, fed.fingerprint, None)
    assert report.findings == ()
    assert any("seed of round 1's noise is still there" in remark for remark in report.remarks)
    pruned = prune(fed.reader(), key_pair=fed.coordinator, now=fed.night(2))
    assert pruned is not None
    assert pruned.keys == (Keys.noise(1),)
    report = audit(fed.store, fed.fingerprint, None)
    assert report.findings == ()
    assert not any("is still there" in remark for remark in report.remarks)
