"""A night of secure sums with a client and a helper that have no network, and a stick between."""

from datetime import datetime, timedelta
from pathlib import Path

from hyperfed.client.helper_night import HelperNight
from hyperfed.coordinator.runner import Why
from hyperfed.operations.offline_transfer import Transferred, transfer_in, transfer_out
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.filesystem import FilesystemStore
from tests.secure_night import HELPERS, MEMBERS, SecureNight, later, named, update

CLIENT, HELPER = "ward-1", "help-1"


def carried_in(night: SecureNight, who: str, stick: FilesystemStore, now: datetime) -> Transferred:
    fed = night.federation
    return transfer_in(fed.store, stick, client=who, fingerprint=fed.fingerprint, now=now)


def carried_out(night: SecureNight, who: str, stick: FilesystemStore, now: datetime) -> Transferred:
    fed = night.federation
    return transfer_out(stick, fed.store, client=who, fingerprint=fed.fingerprint, now=now)


def test_a_client_and_a_helper_without_a_network_do_their_part(tmp_path: Path) -> None:
    night = SecureNight()
    fed, now = night.federation, night.federation.opens(1) + timedelta(minutes=1)
    sticks = {}
    for who in (CLIENT, HELPER):
        (tmp_path / who).mkdir()
        sticks[who] = FilesystemStore(tmp_path / who)
    helping = sticks[HELPER]

    def helps(now: datetime) -> Transferred:
        """Carry the stick in, let the helper come inside, and carry it out."""
        into = carried_in(night, HELPER, helping, now)
        assert not into.refused
        session = fed.session(HELPER, store=helping)
        HelperNight(session, night.memories[HELPER]).visit(now=now)
        return carried_out(night, HELPER, helping, now)

    published = helps(now)
    assert published.copied == [Keys.helper_key(r, HELPER) for r in (1, 2, 3)]
    night.visits(now=now, but=(HELPER,))
    fed.open(1, quorum=3)
    later_on = now + timedelta(hours=1)
    into = carried_in(night, CLIENT, sticks[CLIENT], later_on)
    assert [key for key in into.copied if "/openings/" in key] == [
        Keys.helper_key(1, helper) for helper in HELPERS
    ]
    session = fed.session(CLIENT, store=sticks[CLIENT])
    session.submit(update(0), now=later_on, plan=session.plan(1))
    sent = carried_out(night, CLIENT, sticks[CLIENT], later_on)
    assert sent.copied == [Keys.boxes(1, CLIENT), Keys.inbox(1, CLIENT, 0)]
    for client in MEMBERS[1:]:
        night.submit(client)
    confirmed = helps(fed.night(1))
    assert Keys.confirmation(1, HELPER) in confirmed.copied
    night.visits(now=fed.night(1), but=(HELPER, "help-4"))
    named(night)
    answered = helps(later(night))
    assert Keys.opening(1, HELPER) in answered.copied
    night.visits(now=later(night), but=(HELPER, "help-4"))
    assert fed.run(1, now=later(night)).why is Why.COMMITTED
    shown = fed.objects("rounds/00000001/openings/")
    assert all(
        helping.read(key, max_bytes=1 << 24) == data
        for key, data in shown.items()
        if "/boxes/" in key or key == Keys.manifest(1)
    ), "the very bytes were carried"


def test_a_part_that_is_somebody_elses_stays_behind_and_stops_nobody(tmp_path: Path) -> None:
    night = SecureNight()
    fed, now = night.federation, night.federation.opens(1) + timedelta(hours=1)
    night.opens()
    night.submit_all(but=("ward-2",))
    boxes = fed.store.read(Keys.boxes(1, "ward-1"), max_bytes=1 << 20)
    assert fed.store.put_if_absent(Keys.boxes(1, "ward-2"), boxes)
    stick = FilesystemStore(tmp_path)
    into = carried_in(night, HELPER, stick, now)
    assert [key for key, _ in into.refused] == [Keys.boxes(1, "ward-2")]
    assert {Keys.boxes(1, client) for client in ("ward-1", "ward-3", "ward-4")} <= set(into.copied)
    assert stick.put_if_absent(Keys.confirmation(1, HELPER), boxes)
    assert stick.put_if_absent(Keys.confirmation(1, "help-2"), boxes)
    before = fed.objects()
    out = carried_out(night, HELPER, stick, now)
    assert [key for key, _ in out.refused] == [Keys.confirmation(1, HELPER)]
    assert fed.objects() == before


def test_a_new_helpers_stick_holds_what_was_ever_reserved(tmp_path: Path) -> None:
    """It answers a round without noise only if it knows all earlier cohorts (R-212)."""
    night = SecureNight()
    fed = night.federation
    night.confirmed()
    named(night)
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    for who, lies_there in ((HELPER, True), (CLIENT, False)):
        (tmp_path / who).mkdir()
        stick = FilesystemStore(tmp_path / who)
        carried_in(night, who, stick, fed.opens(20))
        assert (stick.head(Keys.freeze(1)) is not None) is lies_there
        assert (stick.head(Keys.plan(1)) is not None) is lies_there
