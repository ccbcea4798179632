"""In which rounds a client counts, and until when a round takes its updates (R-25, R-62, R-96)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from hyperfed.client.standing import (
    Revocation,
    check_cohort,
    check_still_open,
    counts_from,
    revocation_of,
)
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import AccessDenied, RoundError
from hyperfed.registry.registry import ClientRecord, KeyRecord
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation, key_of

WHO = "site-03"
SECOND = timedelta(seconds=1)


def enrol(fed: SmallFederation, client: str, *, valid_from: int = 1, valid_until: int = 9) -> None:
    keys = KeyRecord(keys=key_of(client).public, valid_from=valid_from, valid_until=valid_until)
    record = ClientRecord(client_id=client, organisation="late ltd", keys=(keys,))
    fed.amend(clients=(*fed.registry.clients, record))


# -- revocations -----------------------------------------------------------------------------------


def test_a_revocation_names_its_round_and_the_version_that_made_it() -> None:
    fed = SmallFederation()
    assert revocation_of(fed.reader(), WHO, 1) is None
    fed.amend()
    fed.revoke(WHO, from_round=4)
    fed.amend()
    assert revocation_of(fed.reader(), WHO, 3) is None, "its key is valid in round 3"
    assert revocation_of(fed.reader(), WHO, 4) == Revocation(client=WHO, from_round=4, version=3)
    assert revocation_of(fed.reader(), "site-01", 4) is None
    assert revocation_of(fed.reader(), "nobody", 4) is None, "it was never registered"


def test_a_client_whose_record_is_gone_was_revoked_from_its_first_round_on() -> None:
    fed = SmallFederation(clients=2)
    enrol(fed, WHO, valid_from=3)
    fed.amend(clients=fed.registry.clients[:-1])
    assert revocation_of(fed.reader(), WHO, 5) == Revocation(client=WHO, from_round=3, version=3)


def test_a_key_that_was_registered_for_some_rounds_ends_as_it_was_registered() -> None:
    fed = SmallFederation(clients=2)
    enrol(fed, WHO, valid_until=2)
    assert revocation_of(fed.reader(), WHO, 2) is None
    assert revocation_of(fed.reader(), WHO, 3) == Revocation(client=WHO, from_round=3, version=2)


# -- cohorts ---------------------------------------------------------------------------------------


def test_a_client_counts_from_the_first_round_that_is_open_to_it() -> None:
    fed = SmallFederation(clients=2)
    plan = fed.open(1).value
    enrol(fed, WHO)
    enrol(fed, "site-04", valid_from=5)
    enrol(fed, "site-05", valid_until=2)
    fed.rotate("site-02", KeyPair.generate(), from_round=2, overlap=0)

    def first(client: str, *, running: int = 1, opened: bool = True) -> int | None:
        return counts_from(fed.registry, client, running=running, plan=plan if opened else None)

    assert (first("site-01"), first(WHO), first(WHO, opened=False)) == (1, 2, 1)
    assert first("site-04") == 5
    assert (first("site-05"), first("site-05", running=2)) == (2, None)
    assert first("site-05", running=2, opened=False) == 2
    assert first("site-02") == 1, "its old key holds in round 1"
    assert first("nobody") is None


def test_who_was_registered_later_is_told_the_round_that_counts_it() -> None:
    fed = SmallFederation(clients=2)
    one = fed.open(1).value
    check_cohort(fed.reader(), "site-01", one, running=one, running_round=1)
    enrol(fed, WHO)
    two = fed.open(2).value
    check_cohort(fed.reader(), WHO, two, running=two, running_round=2)
    for plan, running, running_round, remedy in (
        (one, one, 1, "You count from round 2 on, which opens at 2026-01-02 00:00:00 UTC"),
        (one, two, 2, "You count in round 2, which runs now: leave --round out"),
    ):
        with pytest.raises(RoundError, match="was opened without client site-03") as caught:
            check_cohort(fed.reader(), WHO, plan, running=running, running_round=running_round)
        assert caught.value.rule == "R-96"
        assert caught.value.remedy == f"Nothing was sent. {remedy}"
    with pytest.raises(RoundError) as caught:
        check_cohort(fed.reader(), "nobody", one, running=one, running_round=1)
    assert caught.value.remedy == "Nothing was sent. Ask the operator"


# -- an earlier round ------------------------------------------------------------------------------


def test_a_round_takes_stragglers_until_its_close_by() -> None:
    fed = SmallFederation()
    plan = fed.open(1)
    close_by = plan.value.close_by
    check_still_open(fed.reader(), plan, now=close_by - SECOND)
    with pytest.raises(RoundError, match="took updates until its close_by") as caught:
        check_still_open(fed.reader(), plan, now=close_by)
    assert caught.value.rule == "R-62"


class NoFreezes(MemoryStore):
    def read(self, key: str, *, max_bytes: int) -> bytes:
        if key.endswith("/freeze"):
            raise AccessDenied("not allowed", subject=key)
        return super().read(key, max_bytes=max_bytes)


@pytest.mark.parametrize("seen", [True, False])
def test_a_round_that_is_being_merged_or_has_ended_takes_nothing(seen: bool) -> None:
    fed = SmallFederation()
    plan = fed.open(1)
    fed.submit_all()
    runner, now = fed.runner(1), fed.night(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    if not seen:  # links do not reach a freeze
        fed.store = _without_freezes(fed)
        check_still_open(fed.reader(), plan, now=now)
        return
    with pytest.raises(RoundError, match="is being merged") as caught:
        check_still_open(fed.reader(), plan, now=now)
    assert caught.value.rule == "R-63"
    fed.run(1)
    with pytest.raises(RoundError, match="is committed already") as caught:
        check_still_open(fed.reader(), plan, now=now)
    assert caught.value.rule == "R-61"
    void = fed.open(2)
    fed.run(2, now=fed.night(2) + timedelta(days=3))
    with pytest.raises(RoundError, match="is void already"):
        check_still_open(fed.reader(), replace(void), now=now)


def _without_freezes(fed: SmallFederation) -> MemoryStore:
    store = NoFreezes()
    for key, data in fed.objects().items():
        store.put_if_absent(key, data)
    return store
