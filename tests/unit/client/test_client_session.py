"""The client's side: what it refuses to believe, what it never sends twice, and what it must not
forget (R-50, R-51, R-70, R-89).
"""

import json
import multiprocessing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hyperfed.client import ClientMemory, ClientSession
from hyperfed.crypto.envelope import PacketType, digest_of, open_envelope
from hyperfed.errors import AccessDenied, ConfigError, RefusedError, RegistryError, RoundError
from hyperfed.packets import PolicyPack
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.protocol.receipts import receipt_holds
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.retrying import RetryingStore
from hyperfed.testing.faults import Fault, FaultPlan, FaultStore
from hyperfed.testing.federation import SmallFederation, key_of

NIGHT = timedelta(days=1)


@pytest.fixture
def fed() -> SmallFederation:
    fed = SmallFederation()
    fed.play(1)
    fed.play(2)
    return fed


def drop(fed: SmallFederation, *keys: str) -> None:
    for key in keys:
        del fed.store._objects[key]  # type: ignore[attr-defined]


def replace_object(
    fed: SmallFederation, key: str, type_: PacketType, value: object, *, audience: str = "clients"
) -> None:
    drop(fed, key)
    fed.store.put_if_absent(
        key,
        sign_object(
            key, type_, value, key_pair=fed.coordinator, time=fed.night(2), audience=audience
        ).data,
    )


# -- pull ------------------------------------------------------------------------------------------


def test_the_newest_committed_result_is_pulled(fed: SmallFederation) -> None:
    session = fed.session("site-01")
    found = session.pull(now=fed.night(2))
    assert found is not None
    assert found.value.round == 2
    assert session.memory.marks.broadcast_round == 2
    again = session.pull(now=fed.night(2))
    assert again is not None
    assert again.digest == found.digest
    assert SmallFederation().session("site-01").pull(now=fed.night(1)) is None


def test_a_ledger_that_goes_back_is_refused(fed: SmallFederation) -> None:
    fed.session("site-01").pull(now=fed.night(2))
    drop(fed, Keys.ledger(4))
    with pytest.raises(RoundError, match="does not hold entry 4") as info:
        fed.session("site-01").pull(now=fed.night(2))
    assert info.value.rule == "R-50"
    fed.open(3)
    before = fed.objects()
    with pytest.raises(RoundError):
        fed.submit("site-01", round_id=3)
    assert fed.objects() == before, "nothing is sent into a drop-box that was rolled back"


def test_another_ledger_of_the_same_length_is_refused(fed: SmallFederation) -> None:
    session = fed.session("site-01")
    session.pull(now=fed.night(2))
    session.memory.raise_to(ledger_digest="00" * 32)
    with pytest.raises(RoundError, match="as this client has seen it"):
        fed.session("site-01").pull(now=fed.night(2))


def test_an_older_registry_is_refused(fed: SmallFederation) -> None:
    fed.amend()
    fed.session("site-01").check_ledger()
    assert fed.memories["site-01"].marks.registry_version == 2
    drop(fed, Keys.registry(2))
    with pytest.raises(RegistryError, match="has seen 2"):
        fed.session("site-01").pull(now=fed.night(2))


def test_an_older_broadcast_is_refused(fed: SmallFederation) -> None:
    fed.session("site-01").pull(now=fed.night(2))
    fed.memories["site-01"].raise_to(broadcast_round=3)
    with pytest.raises(RoundError, match="older than round 3"):
        fed.session("site-01").pull(now=fed.night(2))


def test_an_expired_broadcast_is_refused(fed: SmallFederation) -> None:
    with pytest.raises(RoundError, match="expired") as info:
        fed.session("site-01").pull(now=fed.night(2) + 31 * NIGHT)
    assert "holds newer ones back" in info.value.remedy
    assert fed.memories["site-01"].marks.broadcast_round == 0
    expires = fed.reader().result(2).signed.header.expires  # type: ignore[union-attr]
    gone = expires + timedelta(seconds=fed.limits.clock_skew_s)
    with pytest.raises(RoundError, match="expired"):
        fed.session("site-01").pull(now=gone)
    assert fed.session("site-01").pull(now=gone - timedelta(seconds=1)) is not None


def test_a_result_of_another_round_is_refused(fed: SmallFederation) -> None:
    first = fed.objects()[Keys.result(1)]
    drop(fed, Keys.result(2))
    fed.store.put_if_absent(Keys.result(2), first)
    with pytest.raises(RoundError, match="speaks for round 1"):
        fed.session("site-01").pull(now=fed.night(2))


def test_a_result_that_the_ledger_does_not_name_is_refused(fed: SmallFederation) -> None:
    found = fed.reader().result(2)
    assert found is not None
    replace_object(fed, Keys.result(2), PacketType.RESULT, replace(found.value, statement="better"))
    with pytest.raises(RoundError, match="not the result that the ledger commits to"):
        fed.session("site-01").pull(now=fed.night(2))


def test_a_result_of_another_freeze_is_refused_though_the_ledger_names_it() -> None:
    """The coordinator's key signed a result of a freeze of its own, and the commit of the reserved
    freeze names it.
    """
    fed = SmallFederation()
    fed.play(1)
    found, commit = fed.reader().result(1), fed.reader().ledger()[1].entry
    assert found is not None
    for other in (b"f" * 32, commit.freeze):
        result = sign_object(
            Keys.result(1),
            PacketType.RESULT,
            replace(found.value, freeze=other),
            key_pair=fed.coordinator,
            time=commit.time,
        )
        envelope = open_envelope(result.data)
        entry = replace(commit, result=digest_of(envelope.type, envelope.header_bytes))
        written = {"time": entry.time, "audience": "all", "sequence": 2, "previous": entry.previous}
        drop(fed, Keys.result(1), Keys.ledger(2))
        fed.store.put_if_absent(result.key, result.data)
        fed.store.put_if_absent(
            Keys.ledger(2),
            sign_object(
                Keys.ledger(2), PacketType.LEDGER, entry, key_pair=fed.coordinator, **written
            ).data,
        )
        session = ClientSession(
            fed.store,
            client_id="site-01",
            key_pair=fed.keys["site-01"],
            fingerprint=fed.fingerprint,
        )
        before = fed.objects()
        if other == commit.freeze:  # its honest twin
            assert session.pull(now=fed.night(1)) is not None
            continue
        with pytest.raises(RoundError, match="not the result that the ledger commits to") as caught:
            session.pull(now=fed.night(1))
        assert (caught.value.rule, caught.value.subject) == ("R-51", Keys.result(1))
        assert (session.memory.marks.broadcast_round, session.memory.marks.broadcast) == (0, "")
        assert fed.objects() == before


# -- submit ----------------------------------------------------------------------------------------


def test_a_plan_whose_commit_the_ledger_lacks_shows_an_old_ledger(fed: SmallFederation) -> None:
    fed.open(3)
    drop(fed, Keys.ledger(4), Keys.ledger(3))
    with pytest.raises(RoundError, match="names the commit of round 2") as info:
        fed.submit("site-03", round_id=3)
    assert info.value.rule == "R-50"


def test_a_wrong_key_is_refused_before_anything_is_sent(fed: SmallFederation) -> None:
    fed.open(3)
    before = fed.objects()
    session = ClientSession(
        fed.store, client_id="site-01", key_pair=key_of("mallory"), fingerprint=fed.fingerprint
    )
    with pytest.raises(RegistryError, match="is not registered for round 3"):
        session.submit(fed.update("site-01"), now=fed.opens(3), plan=session.plan(3))
    assert fed.objects() == before


def test_a_round_that_is_not_open_is_said_to_be(fed: SmallFederation) -> None:
    with pytest.raises(RoundError, match="is not open"):
        fed.session("site-01").submit(fed.update(), now=fed.opens(3))


def test_an_update_can_be_corrected_three_times(fed: SmallFederation) -> None:
    fed.open(3)
    assert [fed.submit("site-01", round_id=3).key[-1] for _ in range(4)] == ["0", "1", "2", "3"]
    before = fed.objects()
    with pytest.raises(RefusedError, match="all 4 slots"):
        fed.submit("site-01", round_id=3)
    assert fed.objects() == before


def test_ones_own_retried_write_is_a_success(fed: SmallFederation) -> None:
    """The first put was applied and its reply lost; the patient store's second is refused."""
    fed.open(3)
    lossy = FaultStore(fed.store, sleep=lambda _: None)
    session = fed.session("site-01", store=RetryingStore(lossy, sleep=lambda _: None))
    plan = session.plan(3)
    session.check_ledger()
    # ledger, the newest receipt, the ledger again, then the put
    lossy.plan = FaultPlan(at={lossy.operations + 4: Fault.LOST_REPLY})
    sent = session.submit(fed.update("site-01"), now=fed.opens(3), plan=plan)
    assert ("put", sent.key, Fault.LOST_REPLY) in lossy.log
    assert [*fed.objects("inbox/00000003/")] == [sent.key], "one object, in slot 0"


class NoReadingOfTheInbox(MemoryStore):
    def read(self, key: str, *, max_bytes: int) -> bytes:
        if key.startswith("inbox/"):
            raise AccessDenied("not allowed", subject=key)
        return super().read(key, max_bytes=max_bytes)


def test_a_client_that_may_not_read_its_inbox_can_still_correct_itself() -> None:
    fed = SmallFederation(store=NoReadingOfTheInbox())
    fed.open(1)
    assert [fed.submit("site-01").key[-1] for _ in range(2)] == ["0", "1"]


def test_a_client_without_memory_goes_on_above_its_receipts(fed: SmallFederation) -> None:
    used = fed.memories["site-01"].marks.sequence
    fed.memories["site-01"] = ClientMemory()
    fed.open(3)
    assert fed.submit("site-01", round_id=3).sequence > used + 1
    fed.submit_all(round_id=3, but=["site-01"])
    assert fed.run(3).counted == 3


def test_what_breaks_the_policy_is_not_sent() -> None:
    fed = SmallFederation(policy=PolicyPack(g_min=9.0))
    fed.open(1)
    with pytest.raises(RefusedError, match="the policy wants at least 9"):
        fed.submit("site-01")
    assert fed.objects("inbox/") == {}
    assert fed.memories["site-01"].marks.sequence == 0


# -- receipts --------------------------------------------------------------------------------------


def test_receipts_are_shown_newest_first(fed: SmallFederation) -> None:
    assert [(r.round, r.fate) for r in fed.session("site-01").receipts()] == [
        (2, Fate.COUNTED),
        (1, Fate.COUNTED),
    ]
    assert fed.receipt("site-01", 3) is None


@pytest.mark.parametrize(
    "lie",
    [
        {"digest": b"d" * 32},
        {"sequence": 77},
        {"fate": Fate.LATE},
        {"fate": Fate.NOT_SEEN},
        {"fate": Fate.VOID},
        {"fate": Fate.REFUSED, "rule": "R-91"},
        {"leaf": b""},
        {"path": ()},
        {"index": 1},
        {"merkle_head": b"h" * 32},
        {"ledger_sequence": 0},
        {"ledger_sequence": 1},
        {"ledger_sequence": 3},
        {"ledger_sequence": 99},
        {"ledger_digest": b"l" * 32},
        {"result": b"r" * 32},
    ],
    ids=str,
)
def test_a_receipt_that_does_not_prove_what_it_says_is_refused(
    fed: SmallFederation, lie: dict[str, object]
) -> None:
    honest = fed.receipt("site-01", 2)
    assert honest is not None
    replace_object(
        fed,
        Keys.receipt(2, "site-01"),
        PacketType.RECEIPT,
        replace(honest, **lie),
        audience="site-01",
    )
    with pytest.raises(RoundError) as info:
        fed.receipt("site-01", 2)
    assert info.value.rule == "R-70"


def test_another_clients_receipt_is_refused(fed: SmallFederation) -> None:
    other = fed.objects()[Keys.receipt(2, "site-02")]
    drop(fed, Keys.receipt(2, "site-01"))
    fed.store.put_if_absent(Keys.receipt(2, "site-01"), other)
    with pytest.raises(RoundError, match="is a receipt for"):
        fed.receipt("site-01", 2)


def test_every_fate_is_told_and_proven() -> None:
    fed = SmallFederation(clients=5)
    fed.open(1)
    fed.submit_all(but=["site-04", "site-05"])
    fed.run(1)
    fed.open(2)
    fed.submit("site-04", round_id=1)
    fed.put(fed.envelope("site-03", round_id=2, audience="clients"), "site-03", round_id=2)
    fed.submit_all(round_id=2, but=["site-03", "site-04", "site-05"])
    fed.run(2)
    fed.open(3)
    fed.run(3, now=fed.night(3) + 3 * NIGHT)
    fates = {client: fed.receipt(client, 2) for client in fed.clients}
    assert [r.fate for r in fates.values() if r] == [
        Fate.COUNTED,
        Fate.COUNTED,
        Fate.REFUSED,
        Fate.LATE,
        Fate.NOT_SEEN,
    ]
    refused = fates["site-03"]
    assert refused is not None
    assert (refused.rule, bool(refused.remedy)) == ("R-83", True)
    void = fed.receipt("site-01", 3)
    assert void is not None
    assert void.fate is Fate.VOID
    assert receipt_holds(void, voided=True)
    assert not receipt_holds(void, voided=False)


def test_a_late_update_is_not_told_as_counted_in_time() -> None:
    """R-70: the leaf is true and proven; that it was made for this round is not."""
    fed = SmallFederation()
    fed.play(1, but=["site-03"])
    fed.open(2)
    fed.submit("site-03", round_id=1)
    fed.submit_all(round_id=2, but=["site-03"])
    fed.run(2)
    late = fed.receipt("site-03", 2)
    assert late is not None
    assert (late.fate, late.made_for) == (Fate.LATE, 1)
    assert receipt_holds(late, voided=False)
    assert not receipt_holds(replace(late, fate=Fate.COUNTED), voided=False)
    for lie in ({"fate": Fate.COUNTED, "reason": "counted"}, {"fate": Fate.COUNTED, "made_for": 2}):
        replace_object(
            fed,
            Keys.receipt(2, "site-03"),
            PacketType.RECEIPT,
            replace(late, **lie),
            audience="site-03",
        )  # type: ignore[arg-type]
        before, marks = fed.objects(), fed.memories["site-03"].marks
        with pytest.raises(RoundError, match="does not prove what it says") as caught:
            fed.receipt("site-03", 2)
        assert caught.value.rule == "R-70"
        assert fed.objects() == before
        assert fed.memories["site-03"].marks == marks


# -- memory ----------------------------------------------------------------------------------------


def test_marks_only_rise_and_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state" / "memory.json"
    memory = ClientMemory(path)
    memory.raise_to(broadcast_round=4, broadcast="aa")
    with pytest.raises(ConfigError, match="would fall from 4 to 3") as caught:
        memory.raise_to(broadcast_round=3)
    assert caught.value.subject == str(path)
    assert ClientMemory(path).marks == memory.marks
    assert memory.marks.broadcast == "aa"
    memory.raise_to(broadcast_round=4, broadcast="bb")
    assert ClientMemory(path).marks.broadcast == "bb", "what was pulled last of that round"
    for digest in ("aa", "bb"):
        memory.raise_to(ledger_sequence=2, ledger_digest=digest)
    assert ClientMemory(path).marks.ledger_digest == "bb"
    without_a_file = ClientMemory()
    without_a_file.raise_to(sequence=2)
    with pytest.raises(ConfigError) as caught:
        without_a_file.raise_to(sequence=1)
    assert caught.value.subject == "memory"


def test_marks_that_stay_are_written_only_where_the_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    memory = ClientMemory(path)
    memory.raise_to(sequence=0)
    assert ClientMemory(path).marks == memory.marks
    memory.raise_to(sequence=3)
    inode = path.stat().st_ino
    memory.raise_to(sequence=3)
    assert path.stat().st_ino == inode
    path.unlink()
    memory.raise_to(sequence=3)
    assert ClientMemory(path).marks.sequence == 3


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"sequence": "1"}', '{"sequence": true}', '{"other": 1}']
)
def test_a_broken_memory_is_never_taken_for_a_new_client(tmp_path: Path, text: str) -> None:
    path = tmp_path / "memory.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not what a client's memory looks like"):
        ClientMemory(path)


def test_an_older_process_cannot_lower_what_a_newer_one_saw(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    old, new = ClientMemory(path), ClientMemory(path)
    new.raise_to(ledger_sequence=7, ledger_digest="77", registry_version=3)
    old.raise_to(ledger_sequence=5, ledger_digest="55")
    assert (old.marks.ledger_sequence, old.marks.ledger_digest, old.marks.registry_version) == (
        7,
        "77",
        3,
    )
    assert json.loads(path.read_text())["ledger_sequence"] == 7


def _take(path: Path, found: "multiprocessing.Queue[list[int]]") -> None:
    memory = ClientMemory(path)
    found.put([memory.take_sequence() for _ in range(20)])


def test_two_processes_never_take_the_same_sequence(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    processes = [
        context.Process(target=_take, args=(tmp_path / "memory.json", found)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    taken = [n for _ in processes for n in found.get(timeout=60)]
    for process in processes:
        process.join()
    found.close()
    found.join_thread()
    assert sorted(taken) == list(range(1, 41))
