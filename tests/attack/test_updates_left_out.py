"""A coordinator that leaves an update out, or refuses it by an invented rule (R-127, R-128). The
audit looks into the inbox; the client says what it sent. No client, and no bucket that tells the
time, can make an honest coordinator look so.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from hyperfed.dropbox.inbox import Arrivals, Judged
from hyperfed.operations.audit import audit
from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Refused
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectInfo
from hyperfed.testing.federation import SmallFederation


class TimedStore(MemoryStore):
    """A store in memory that tells when its objects were written, by a clock that is set."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime | None = None
        self._written: dict[str, datetime | None] = {}

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        created = super().put_if_absent(key, data)
        if created:
            self._written[key] = self.now
        return created

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter([replace(i, modified=self._written.get(i.key)) for i in super().list(prefix)])


def findings(fed: SmallFederation, keys: Any = None) -> list[tuple[str, str]]:
    return [(f.key, f.rule) for f in audit(fed.store, fed.fingerprint, keys).findings]


def without(arrivals: Arrivals, client: str) -> Arrivals:
    kept = tuple(entry for entry in arrivals.keys if f"/{client}/" not in entry[0])
    return replace(arrivals, keys=kept)


def refusing(judged: Judged, client: str, rule: str) -> Judged:
    victim = next(a for a in judged.admitted if a.client == client)
    refusal = Refused(
        key=victim.key,
        client=client,
        made_for=1,
        sequence=victim.sequence,
        digest=victim.digest,
        rule=rule,
        reason="variable 9 in a vocabulary of 4",
    )
    others = tuple(a for a in judged.admitted if a.client != client)
    return replace(judged, admitted=others, refused=(*judged.refused, refusal))


def lied(
    fed: SmallFederation,
    arrivals: Callable[[Arrivals], Arrivals] = lambda a: a,
    judged: Callable[[Judged], Judged] = lambda j: j,
) -> None:
    runner = fed.runner(1)
    runner.freeze(1, judged(runner.validate(arrivals(runner.collect(1)))))
    assert runner.conclude(1).why is Why.COMMITTED


@pytest.mark.parametrize("timed", [False, True], ids=["no store's clock", "a store's clock"])
def test_an_update_that_is_left_out_is_a_finding_without_any_key(timed: bool) -> None:
    store = TimedStore()
    fed = SmallFederation(clients=5, auditors=1, store=store)
    fed.open(1)
    store.now = fed.opens(1) + timedelta(hours=1) if timed else None
    fed.submit_all()
    store.now = fed.night(1) if timed else None
    twin = fed.twin()
    lied(fed, arrivals=lambda a: without(a, "site-05"))
    for keys in (None, fed.auditors[0], fed.coordinator):
        assert findings(fed, keys) == [(Keys.inbox(1, "site-05", 0), "R-127")]
    assert twin.run(1).why is Why.COMMITTED
    assert findings(twin, twin.coordinator) == []


def test_an_update_that_two_rounds_leave_out_is_one_finding() -> None:
    fed = SmallFederation(clients=5, auditors=1)
    fed.open(1)
    fed.submit_all()
    lied(fed, arrivals=lambda a: without(a, "site-05"))
    fed.open(2)
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    again = runner.collect(2)
    kept = tuple(k for k in again.keys if k[0] != Keys.inbox(1, "site-05", 0))
    runner.freeze(2, runner.validate(replace(again, keys=kept)))
    runner.conclude(2)
    assert findings(fed) == [(Keys.inbox(1, "site-05", 0), "R-127")]


@pytest.mark.parametrize("rule", ["R-90", "R-89", "R-93", "R-96", "R-94"])
def test_a_refusal_with_an_invented_reason_is_judged_again(rule: str) -> None:
    fed = SmallFederation(clients=5, auditors=1)
    fed.open(1)
    fed.submit_all()
    lied(fed, judged=lambda j: refusing(j, "site-04", rule))
    assert findings(fed) == [], "without a key nobody can look into a body"
    for keys in (fed.auditors[0], fed.coordinator):
        assert findings(fed, keys) == [(Keys.inbox(1, "site-04", 0), "R-128")]


def test_the_honest_twin_whose_refusals_are_all_earned() -> None:
    fed = SmallFederation(clients=6, auditors=1)
    fed.open(1)
    for client in ("site-01", "site-02", "site-03", "site-04"):
        fed.submit(client)
    fed.submit("site-04", fed.update(effect=0.6))  # corrected
    fed.put(fed.envelope("site-05", policy=bytes(32)), "site-05")
    fed.put(fed.envelope("site-06", body=b"no update"), "site-06")
    fed.put(fed.envelope("site-06", sealed=False), "site-06", slot=1)
    assert fed.run(1).why is Why.COMMITTED
    fed.open(2)
    fed.submit("site-05", round_id=1, now=fed.night(1) + timedelta(hours=2))  # late
    fed.submit_all(round_id=2, but=["site-05", "site-06"])
    fed.put(fed.envelope("site-06", round_id=2, sequence=1), "site-06", round_id=2)
    assert fed.run(2).why is Why.COMMITTED
    assert findings(fed, fed.auditors[0]) == []
    report = audit(fed.store, fed.fingerprint, fed.coordinator)
    assert report.findings == ()
    assert report.checked["refusals judged again"] >= 4


def test_a_client_that_dates_back_frames_nobody_where_the_store_tells_the_time() -> None:
    store = TimedStore()
    fed = SmallFederation(clients=3, auditors=1, store=store)
    fed.open(1)
    store.now = fed.opens(1) + timedelta(hours=1)
    fed.submit_all(but=["site-03"])
    fed.run(1)
    store.now = fed.night(1) + timedelta(hours=3)
    fed.put(fed.envelope("site-03"), "site-03")  # it says it was made in time
    assert findings(fed) == []


def test_what_nobody_signed_frames_nobody() -> None:
    fed = SmallFederation(clients=3, auditors=1)
    fed.open(1)
    fed.submit_all(but=["site-03"])
    fed.run(1)
    fed.put(b"an update, says the bucket", "site-03")
    fed.put(fed.envelope("site-01", sender="site-03"), "site-03", slot=1)
    assert findings(fed) == []


def test_a_client_that_seals_nonsense_to_the_coordinator_frames_nobody_before_an_auditor() -> None:
    """The auditor's box opens, the coordinator's does not."""
    fed = SmallFederation(clients=3, auditors=1)
    fed.open(1)
    fed.submit_all(but=["site-03"])
    registry = fed.registry
    fed.registry = replace(registry, coordinators=registry.auditors, auditors=())
    data = fed.envelope("site-03")
    fed.registry = registry
    fed.put(data, "site-03")
    assert fed.run(1).why is Why.COMMITTED
    receipt = fed.receipt("site-03")
    assert receipt is not None
    assert receipt.rule == "R-40"
    assert findings(fed, fed.auditors[0]) == []
    assert findings(fed, fed.coordinator) == []


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("stored", "signed", "found"),
    [
        (timedelta(0), timedelta(0), True),
        (SECOND, timedelta(0), False),
        (timedelta(0), SECOND, False),
        (None, timedelta(0), True),
        (None, SECOND, False),
    ],
)
def test_in_time_is_until_the_deadline_by_both_clocks(
    stored: timedelta | None, signed: timedelta, found: bool
) -> None:
    store = TimedStore()
    fed = SmallFederation(clients=5, auditors=1, store=store)
    deadline = fed.open(1).value.deadline
    fed.submit_all(but=["site-05"])
    store.now = None if stored is None else deadline + stored
    fed.put(fed.envelope("site-05", created=deadline + signed), "site-05")
    store.now = None
    lied(fed, arrivals=lambda a: without(a, "site-05"))
    assert findings(fed) == ([(Keys.inbox(1, "site-05", 0), "R-127")] if found else [])


@pytest.mark.parametrize("seen", ["nothing", "the round's reserve"])
def test_whoever_has_seen_the_rounds_entries_was_late(seen: str) -> None:
    fed = SmallFederation(clients=5, auditors=1)
    fed.open(1)
    fed.submit_all(but=["site-05"])
    assert fed.run(1).why is Why.COMMITTED
    reserve = fed.reader().ledger()[0]
    claim = (0, b"") if seen == "nothing" else (1, reserve.digest)
    data = fed.envelope("site-05", ledger_sequence=claim[0], ledger_digest=claim[1])
    fed.put(data, "site-05")
    named = [(Keys.inbox(1, "site-05", 0), "R-127")]
    assert findings(fed) == (named if seen == "nothing" else [])
