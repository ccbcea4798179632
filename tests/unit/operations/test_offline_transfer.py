"""A stick in and out of a site without a network: only what travels, verified, create-only, safe to
pull out at any moment (R-1, R-31, R-50).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hyperfed.client.memory import ClientMemory
from hyperfed.client.session import ClientSession
from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import (
    AccessDenied,
    HyperfedError,
    ObjectNotFound,
    RefusedError,
    RegistryError,
    RoundError,
    TransientError,
)
from hyperfed.operations.offline_transfer import Transferred, transfer_in, transfer_out
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.faults import FaultStore, Killed
from hyperfed.testing.federation import SmallFederation
from tests.damage import damaged

ME = "site-01"


class Site:
    """A client without a network: a stick, a key, a memory."""

    def __init__(self, fed: SmallFederation, folder: Path) -> None:
        self.fed, self.memory = fed, ClientMemory()
        self.stick = FilesystemStore(folder)
        self.now: datetime = fed.opens(1) + timedelta(hours=1)

    def at(self, round_id: int) -> datetime:
        self.now = self.fed.opens(round_id) + timedelta(hours=1)
        return self.now

    def transfer_in(self, stick: ObjectStore | None = None, *, last: int = 8) -> Transferred:
        return transfer_in(
            self.fed.store,
            stick or self.stick,
            client=ME,
            fingerprint=self.fed.fingerprint,
            now=self.now,
            last=last,
        )

    def transfer_out(self, drop_box: ObjectStore | None = None) -> Transferred:
        return transfer_out(
            self.stick,
            drop_box or self.fed.store,
            client=ME,
            fingerprint=self.fed.fingerprint,
            now=self.now,
        )

    def session(
        self, stick: ObjectStore | None = None, memory: ClientMemory | None = None
    ) -> ClientSession:
        keys = self.fed.keys[ME]
        return ClientSession(
            stick or self.stick,
            client_id=ME,
            key_pair=keys,
            fingerprint=self.fed.fingerprint,
            memory=memory or self.memory,
        )

    def on_stick(self) -> dict[str, bytes]:
        return {
            info.key: self.stick.read(info.key, max_bytes=1 << 30) for info in self.stick.list("")
        }


@pytest.fixture
def fed() -> SmallFederation:
    return SmallFederation()


@pytest.fixture
def site(fed: SmallFederation, tmp_path: Path) -> Site:
    return Site(fed, tmp_path)


def test_three_nights_by_stick(fed: SmallFederation, site: Site) -> None:
    for r in (1, 2, 3):
        fed.open(r)
        site.at(r)
        site.transfer_in()
        sent = site.session().submit(fed.update(ME), now=site.now)
        assert site.transfer_out().copied == [sent.key]
        assert fed.store.read(sent.key, max_bytes=1 << 20) == site.on_stick()[sent.key]
        fed.submit_all(round_id=r, but=[ME])
        assert fed.run(r).counted == 3
        site.at(r + 1)
        site.transfer_in()
        pulled, receipt = site.session().pull(now=site.now), site.session().receipt(r)
        assert (pulled and pulled.value.round, receipt and receipt.fate.value) == (r, "counted")
    assert site.memory.marks.sequence == 3


def test_only_what_a_client_reads_goes_in_and_nothing_twice(
    fed: SmallFederation, site: Site
) -> None:
    for r in range(1, 5):
        fed.play(r)
    fed.open(5)
    site.at(5)
    first = site.transfer_in(last=2)
    expected = {
        Keys.registry(1),
        *(Keys.ledger(s) for s in range(1, 9)),
        Keys.result(4),
        Keys.plan(4),
        Keys.plan(5),
    }
    expected |= {Keys.receipt(r, ME) for r in range(1, 5)}
    assert set(site.on_stick()) == expected == set(first.copied)
    assert (first.there, first.refused) == ([], [])
    again = site.transfer_in(last=2)
    assert (again.copied, again.there) == ([], first.copied)
    everything = fed.objects()
    assert all(everything[key] == data for key, data in site.on_stick().items())


def test_a_large_rounds_receipt_goes_in_with_its_page(tmp_path: Path) -> None:
    fed = SmallFederation(limits=Limits(own_receipts=2))
    site = Site(fed, tmp_path)
    fed.play(1)
    site.at(2)
    page = Keys.receipt_page(1, page_of(ME))
    copied = transfer_in(
        fed.store,
        site.stick,
        client=ME,
        fingerprint=fed.fingerprint,
        now=site.now,
        limits=fed.limits,
    ).copied
    assert [key for key in copied if "receipt" in key] == [page]
    session = ClientSession(
        site.stick,
        client_id=ME,
        key_pair=fed.keys[ME],
        fingerprint=fed.fingerprint,
        memory=site.memory,
        limits=fed.limits,
    )
    receipt = session.receipt(1)
    assert receipt is not None
    assert receipt.fate.value == "counted"


def test_the_newest_result_goes_in_however_old_it_is(fed: SmallFederation, site: Site) -> None:
    fed.play(1)
    site.at(40)
    assert Keys.result(1) in site.transfer_in(last=1).copied


def test_only_this_client_s_updates_come_out(fed: SmallFederation, site: Site) -> None:
    fed.open(1)
    site.transfer_in()
    site.session().submit(fed.update(ME), now=site.now)
    for key in (
        "rounds/00000001/result",
        "rounds/00000001/freeze",
        "ledger/000000000001",
        "registry/000002",
        "probe/x/once",
    ):
        assert site.stick.put_if_absent(key, b"from the stick")
    before = fed.objects()
    transferred = site.transfer_out()
    assert (transferred.copied, transferred.refused) == ([Keys.inbox(1, ME, 0)], [])
    assert set(fed.objects()) - set(before) == {Keys.inbox(1, ME, 0)}
    again = site.transfer_out()
    assert (again.copied, again.there, again.refused) == ([], [Keys.inbox(1, ME, 0)], [])
    site.at(3)
    assert site.transfer_out() == Transferred(), "old nights are left alone"


def test_what_is_not_the_client_s_own_update_stays_on_the_stick(
    fed: SmallFederation, site: Site
) -> None:
    fed.open(1)
    other = fed.envelope("site-02")
    own = fed.envelope(ME)
    wrong = {
        Keys.inbox(1, "site-02", 0): (other, "lies in the folder of 'site-02'"),
        Keys.inbox(1, ME, 0): (other, "keys known here"),
        Keys.inbox(1, ME, 1): (own[:-1], "cut off"),
        Keys.inbox(1, ME, 2): (fed.envelope(ME, type_=PacketType.MESSAGE), "belongs"),
        Keys.inbox(1, ME, 3): (fed.envelope(ME, federation="other-fed"), "made by"),
        "inbox/00000001/site-01/4": (own, "not an inbox key"),
        "inbox/00000001/site-01/0x": (own, "not an inbox key"),
    }
    site.at(2)
    fed.open(2)
    wrong[Keys.inbox(2, ME, 0)] = (own, "for round 1")
    for key, (data, _) in wrong.items():
        assert site.stick.put_if_absent(key, data)
    assert site.stick.put_if_absent(Keys.inbox(2, ME, 1), good := fed.envelope(ME, round_id=2))
    before = fed.objects()
    transferred = site.transfer_out()
    assert transferred.copied == [Keys.inbox(2, ME, 1)]
    assert fed.objects() == before | {Keys.inbox(2, ME, 1): good}
    assert {key for key, _ in transferred.refused} == set(wrong)
    for key, reason in transferred.refused:
        assert wrong[key][1] in reason, (key, reason)


def test_a_revoked_client_s_update_and_a_taken_slot_stay_on_the_stick(
    fed: SmallFederation, site: Site
) -> None:
    fed.open(1)
    assert site.stick.put_if_absent(Keys.inbox(1, ME, 0), fed.envelope(ME))
    assert fed.store.put_if_absent(Keys.inbox(1, ME, 0), there := fed.envelope(ME))
    transferred = site.transfer_out()
    assert [key for key, reason in transferred.refused if "holds something else" in reason] == [
        Keys.inbox(1, ME, 0)
    ]
    assert fed.objects("inbox/") == {Keys.inbox(1, ME, 0): there}
    fed.revoke(ME, from_round=2)
    site.at(2)
    fed.open(2)
    assert site.stick.put_if_absent(Keys.inbox(2, ME, 0), fed.envelope(ME, round_id=2))
    assert "keys known here" in site.transfer_out().refused[1][1]
    fed.revoke(ME, from_round=1)
    assert site.stick.put_if_absent(Keys.inbox(1, ME, 1), fed.envelope(ME))
    assert all("registry" in reason for key, reason in site.transfer_out().refused)
    assert fed.objects("inbox/") == {Keys.inbox(1, ME, 0): there}


class Changed(MemoryStore):
    """The same objects, but for one."""

    def __init__(self, fed: SmallFederation, key: str, change: Callable[[bytes], bytes]) -> None:
        super().__init__()
        for name, data in fed.objects().items():
            self.put_if_absent(name, change(data) if name == key else data)


@pytest.mark.parametrize(
    "key",
    [Keys.registry(1), Keys.result(1), Keys.plan(2), Keys.ledger(2), Keys.receipt(1, ME)],
    ids=["registry", "result", "plan", "ledger", "receipt"],
)
def test_what_does_not_verify_does_not_go_in(fed: SmallFederation, site: Site, key: str) -> None:
    fed.play(1)
    fed.open(2)
    site.at(2)
    fed.store = Changed(fed, key, damaged)
    with pytest.raises(HyperfedError) as caught:
        site.transfer_in()
    assert key in str(caught.value)
    assert key not in site.on_stick()


def test_a_ledger_that_changes_while_it_is_read_does_not_go_in(
    fed: SmallFederation, site: Site
) -> None:
    """Both entries are the coordinator's own: only one of them is of the chain that was
    verified.
    """
    fed.play(1)
    fork = SmallFederation()
    fork.play(1, but=["site-03"])
    site.at(2)

    class Flips(MemoryStore):
        reads = 0

        def read(self, key: str, *, max_bytes: int) -> bytes:
            self.reads += key == Keys.ledger(2)
            return (fork if self.reads == 2 and key == Keys.ledger(2) else fed).store.read(
                key, max_bytes=max_bytes
            )

    with pytest.raises(RoundError, match="changed while it was read"):
        transfer_in(Flips(), site.stick, client=ME, fingerprint=fed.fingerprint, now=site.now)
    assert Keys.ledger(2) not in site.on_stick()


def test_an_object_that_was_moved_does_not_go_in(fed: SmallFederation, site: Site) -> None:
    fed.play(1)
    fed.play(2)
    site.at(3)
    moved = fed.objects()[Keys.result(1)]
    fed.store = Changed(fed, Keys.result(2), lambda _: moved)
    with pytest.raises(RoundError, match="speaks for round 1"):
        site.transfer_in()


def test_another_federation_s_drop_box_fills_no_stick(site: Site) -> None:
    with pytest.raises(RegistryError, match="fingerprint"):
        transfer_in(site.fed.store, site.stick, client=ME, fingerprint="0" * 64, now=site.now)
    assert site.on_stick() == {}
    assert site.stick.put_if_absent(Keys.inbox(1, ME, 0), b"x")
    with pytest.raises(RegistryError, match="fingerprint"):
        transfer_out(site.stick, site.fed.store, client=ME, fingerprint="0" * 64, now=site.now)
    assert site.fed.objects("inbox/") == {}


def test_a_stick_pulled_out_at_any_moment_shows_an_older_night_and_no_broken_one(
    fed: SmallFederation, site: Site
) -> None:
    fed.play(1)
    site.at(2)
    old = MemoryStore()
    site.transfer_in(old)
    fed.open(2)
    fed.submit_all(round_id=2)
    fed.run(2)
    fed.open(3)
    site.at(3)
    step, rounds = 0, []
    while True:
        step += 1
        stick = MemoryStore()
        for info in old.list(""):
            stick.put_if_absent(info.key, old.read(info.key, max_bytes=1 << 20))
        faulty = FaultStore(stick)
        faulty.die_after(step)
        try:
            site.transfer_in(faulty)
        except Killed:
            pass
        else:
            break
        session = site.session(stick, ClientMemory())
        pulled = session.pull(now=site.now)
        assert pulled is not None
        rounds.append(pulled.value.round)
        if session.reader.plan(3) is not None:
            assert session.submit(fed.update(ME), now=site.now).round == 3
        before = {info.key for info in stick.list("")}
        rest = site.transfer_in(stick)
        assert set(rest.copied).isdisjoint(before), "gone on with"
        pulled = site.session(stick, ClientMemory()).pull(now=site.now)
        assert pulled is not None
        assert pulled.value.round == 2
    assert rounds == sorted(rounds)
    assert set(rounds) == {1, 2}
    assert step > 20


def test_an_old_stick_is_seen_by_the_client_s_memory(fed: SmallFederation, site: Site) -> None:
    fed.play(1)
    site.at(2)
    old = MemoryStore()
    site.transfer_in(old)
    fed.play(2)
    site.at(3)
    site.transfer_in()
    assert site.session().pull(now=site.now)
    with pytest.raises(RoundError, match="as this client has seen it"):
        site.session(old).pull(now=site.now)


class Lying(MemoryStore):
    """A stick that says it wrote and did not, or not that."""

    def __init__(self, keep: bytes | None) -> None:
        super().__init__()
        self.keep = keep

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return self.keep is None or super().put_if_absent(key, self.keep)


@pytest.mark.parametrize(
    "keep", [None, b"", b"other"], ids=["nothing", "an empty file", "other bytes"]
)
def test_a_stick_that_does_not_keep_what_it_took_is_found_out(
    site: Site, keep: bytes | None
) -> None:
    with pytest.raises(RefusedError, match="not kept as it was written"):
        site.transfer_in(Lying(keep))
    site.transfer_in()
    other = MemoryStore()
    assert other.put_if_absent(Keys.registry(1), b"another federation's")
    with pytest.raises(RefusedError, match="holds something else"):
        site.transfer_in(other)
    assert other.read(Keys.registry(1), max_bytes=99) == b"another federation's"


class WriteOnly(MemoryStore):
    """An inbox that its clients may not read; the registry they may."""

    def read(self, key: str, *, max_bytes: int) -> bytes:
        if key.startswith("inbox/"):
            raise AccessDenied("not yours to read", subject=key)
        return super().read(key, max_bytes=max_bytes)


def test_an_inbox_that_cannot_be_read_takes_updates_all_the_same(
    fed: SmallFederation, site: Site
) -> None:
    fed.open(1)
    box = WriteOnly()
    for key, data in fed.objects().items():
        box.put_if_absent(key, data)
    assert site.stick.put_if_absent(Keys.inbox(1, ME, 0), fed.envelope(ME))
    assert site.transfer_out(box).copied == [Keys.inbox(1, ME, 0)]
    assert site.transfer_out(box).there == [Keys.inbox(1, ME, 0)]


def test_a_passing_fault_is_no_refusal(fed: SmallFederation, site: Site) -> None:
    fed.open(1)
    assert site.stick.put_if_absent(Keys.inbox(1, ME, 0), fed.envelope(ME))

    class Down(MemoryStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            raise TransientError("down", subject=key)

        def read(self, key: str, *, max_bytes: int) -> bytes:
            return fed.store.read(key, max_bytes=max_bytes)

    with pytest.raises(TransientError):
        site.transfer_out(Down())
    with pytest.raises(ObjectNotFound):
        fed.store.read(Keys.inbox(1, ME, 0), max_bytes=1)
