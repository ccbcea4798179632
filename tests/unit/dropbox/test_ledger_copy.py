"""A copy of the ledger (R-75): the next process asks for what came since, and no copy changes what
it comes to.
"""

from pathlib import Path

import pytest

from hyperfed.client import ClientMemory
from hyperfed.codec import pack
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.dropbox.ledger_copy import Kept, LedgerCopy
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import (
    LedgerError,
    RegistryError,
    RoundError,
    SchemaError,
    TransientError,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation
from tests.damage import damaged

pytestmark = pytest.mark.unit


class Asked(MemoryStore):
    """A store that notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self.keys.append(key)
        return super().read(key, max_bytes=max_bytes)

    def entries(self) -> list[str]:
        """Of the ledger, since this was asked last."""
        keys, self.keys = self.keys, []
        return [key for key in keys if key.startswith("ledger/")]


def played(rounds: int, *, store: MemoryStore | None = None) -> SmallFederation:
    fed = SmallFederation(clients=2, store=store or Asked())
    for number in range(1, rounds + 1):
        fed.play(number)
    return fed


def reader(fed: SmallFederation, path: Path) -> DropBoxReader:
    return DropBoxReader(fed.store, fingerprint=fed.fingerprint, copy=LedgerCopy(path))


def digests(of: DropBoxReader) -> list[bytes]:
    return [chained.digest for chained in of.ledger()]


def test_the_next_reader_asks_for_the_newest_entry_it_has_and_for_those_after_it(
    tmp_path: Path,
) -> None:
    fed = played(5)
    whole = digests(reader(fed, tmp_path / "copy"))
    assert len(whole) == 10
    assert isinstance(fed.store, Asked)
    fed.store.entries()
    assert digests(reader(fed, tmp_path / "copy")) == whole
    assert fed.store.entries() == [Keys.ledger(10), Keys.ledger(11), Keys.ledger(12)]
    fed.play(6)
    fed.store.entries()
    assert digests(reader(fed, tmp_path / "copy")) == digests(fed.reader())
    assert set(fed.store.entries()[:4]) == {Keys.ledger(n) for n in range(10, 14)}


@pytest.mark.parametrize("command", ["submit", "pull", "receipt"])
def test_what_a_clients_command_asks_for_does_not_grow_with_the_rounds_before_it(
    command: str, tmp_path: Path
) -> None:
    asked = []
    for rounds in (3, 12):
        fed, memory = played(rounds), tmp_path / f"{rounds}.memory.json"
        store = fed.store
        assert isinstance(store, Asked)
        fed.memories["site-01"] = ClientMemory(memory)
        fed.memories["site-01"].raise_to(sequence=rounds)
        fed.session("site-01").check_ledger()
        fed.open(rounds + 1)
        fed.memories["site-01"] = ClientMemory(memory)  # another process
        store.keys.clear()
        if command == "submit":
            fed.submit("site-01", round_id=rounds + 1)
        elif command == "pull":
            assert fed.session("site-01").pull(now=fed.night(rounds)) is not None
        else:
            assert fed.session("site-01").receipt(rounds) is not None
        asked.append(len(store.keys))
    assert asked[0] == asked[1] <= 10


def test_what_a_round_asks_for_does_not_grow_with_the_rounds_before_it(tmp_path: Path) -> None:
    asked = []
    for rounds in (3, 12):
        fed = played(rounds)
        copy, store = LedgerCopy(tmp_path / f"{rounds}"), fed.store
        assert isinstance(store, Asked)
        digests(reader(fed, tmp_path / f"{rounds}"))
        fed.open(rounds + 1)
        fed.submit_all(round_id=rounds + 1)
        store.keys.clear()
        RoundRunner(
            store,
            key_pair=fed.coordinator,
            now=fed.night(rounds + 1),
            fingerprint=fed.fingerprint,
            copy=copy,
        ).run(rounds + 1)
        asked.append(len(store.keys))
    assert asked[0] == asked[1] <= 2 + 60


@pytest.mark.parametrize(
    "harm",
    [
        "nothing there",
        "cut off",
        "no canonical bytes",
        "another form",
        "no entries",
        "not bytes",
        "a folder",
        "other bytes at the end",
    ],
)
def test_a_copy_that_cannot_be_read_is_forgotten_and_made_again(harm: str, tmp_path: Path) -> None:
    fed, path = played(3), tmp_path / "copy"
    whole = digests(reader(fed, path))
    good = path.read_bytes()
    bad = {
        "nothing there": b"",
        "cut off": good[:-10],
        "no canonical bytes": b"\xff" * 40,
        "another form": pack(["hyperfed ledger copy 1", b"x"]),
        "no entries": pack(["hyperfed ledger copy 2", 1]),
        "not bytes": pack(["hyperfed ledger copy 2", 1, 7]),
        "other bytes at the end": good + b"\x00",
    }
    path.unlink()
    if harm == "a folder":
        path.mkdir()
    else:
        path.write_bytes(bad[harm])
    assert digests(reader(fed, path)) == whole
    assert harm == "a folder" or path.read_bytes() == good


def test_a_copy_that_does_not_verify_is_forgotten(tmp_path: Path) -> None:
    """Another federation's, and one with an entry changed or left out."""
    fed, path = played(3), tmp_path / "copy"
    whole = digests(reader(fed, path))
    entries = [*LedgerCopy(path).load().entries]
    other = SmallFederation(clients=2, name="other-fed")
    other.play(1)
    theirs = [other.objects("ledger/")[Keys.ledger(n)] for n in (1, 2)]
    flipped = damaged(entries[1])
    swapped = [*entries[:1], *theirs[1:2], *entries[2:]]
    twice = [entries[0], entries[0], *entries[2:]]
    for wrong in (
        theirs,
        [entries[0], flipped, *entries[2:]],
        swapped,
        twice,
        entries[1:],
        entries[:2] + entries[3:],
        [*entries, entries[-1]],
        [*entries, b"x"],
    ):
        LedgerCopy(path).keep(wrong, registry_version=1)
        assert digests(reader(fed, path)) == whole
        assert [*LedgerCopy(path).load().entries] == entries
    LedgerCopy(path).keep(entries[:3], registry_version=1)  # one that is behind catches up
    assert digests(reader(fed, path)) == whole


def test_a_process_writes_its_copy_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there from the first time on; what the process itself appends the next one reads."""
    fed, kept = played(2), list[int]()
    keep = LedgerCopy.keep
    monkeypatch.setattr(
        LedgerCopy,
        "keep",
        lambda self, entries, **more: (kept.append(len(entries)), keep(self, entries, **more))[1],
    )
    here = reader(fed, tmp_path / "copy")
    assert len(here.ledger()) == 4
    fed.play(3)
    assert len(here.ledger()) == 6
    assert kept == [4]
    assert len(reader(fed, tmp_path / "copy").ledger()) == 6
    assert kept == [4, 6]
    assert len(reader(fed, tmp_path / "copy").ledger()) == 6
    assert kept == [4, 6], "nothing is new"


def test_of_two_histories_by_the_same_coordinator_both_are_named(tmp_path: Path) -> None:
    """A drop-box that was restored, and went on differently: the machine stops for good (R-113)."""
    fed, path = played(3), tmp_path / "copy"
    other = fed.twin()
    for each, effect in ((fed, 0.5), (other, 0.75)):
        each.open(4)
        for client in each.clients:
            each.submit(client, each.update(client, effect=effect), round_id=4)
        each.run(4)
    theirs = digests(reader(other, path))
    kept, ours = path.read_bytes(), digests(fed.reader())
    assert len(theirs) == len(ours)
    for _ in range(2):
        with pytest.raises(LedgerError, match="signed two histories") as caught:
            reader(fed, path).ledger()
        for head in (theirs[-1], ours[-1]):
            assert head.hex()[:16] in str(caught.value)
        assert str(path) in caught.value.remedy
        assert path.read_bytes() == kept, "it is evidence"
    assert digests(reader(other, path)) == theirs


def test_a_tail_that_is_gone_stops_until_it_is_back(tmp_path: Path) -> None:
    fed, path = played(3), tmp_path / "copy"
    whole, kept = digests(reader(fed, path)), path.read_bytes()
    tail = {number: fed.objects("ledger/")[Keys.ledger(number)] for number in (5, 6)}
    for number in tail:
        fed.store.forget(Keys.ledger(number))  # type: ignore[attr-defined]
    with pytest.raises(LedgerError, match=r"ends before entry 6, .* which this machine has read"):
        reader(fed, path).ledger()
    assert path.read_bytes() == kept
    for number, data in tail.items():
        fed.store.put_if_absent(Keys.ledger(number), data)
    assert digests(reader(fed, path)) == whole


def test_rubbish_in_the_newest_entrys_place_is_no_history(tmp_path: Path) -> None:
    fed, path = played(3), tmp_path / "copy"
    digests(reader(fed, path))
    kept = path.read_bytes()
    fed.store.forget(Keys.ledger(6))  # type: ignore[attr-defined]
    fed.store.put_if_absent(Keys.ledger(6), b"rubbish")
    with pytest.raises(SchemaError):
        reader(fed, path).ledger()
    assert path.read_bytes() == kept


def test_a_registry_that_was_rolled_back_with_the_ledger_is_noticed(tmp_path: Path) -> None:
    """It would no longer name the keys that signed the copy, which would then be dropped."""
    fed, path = played(2), tmp_path / "copy"
    fed.amend()
    fed.play(3)
    digests(reader(fed, path))
    fed.store.forget(Keys.registry(2))  # type: ignore[attr-defined]
    with pytest.raises(RegistryError, match="this machine has seen 2"):
        reader(fed, path).ledger()


def test_a_restored_drop_box_is_not_run_again(tmp_path: Path) -> None:
    """A coordinator whose bucket was restored to before the freeze does not release anew."""
    fed, path = played(1), tmp_path / "copy"
    fed.open(2)
    fed.submit_all(round_id=2)
    backup = fed.twin()
    fed.run(2)
    digests(reader(fed, path))
    runner = RoundRunner(
        backup.store,
        key_pair=fed.coordinator,
        now=fed.night(2),
        fingerprint=fed.fingerprint,
        copy=LedgerCopy(path),
    )
    before = backup.objects("")
    with pytest.raises(LedgerError, match="R-113"):
        runner.run(2)
    assert backup.objects("") == before


def test_a_client_whose_drop_box_was_rolled_back_is_told(tmp_path: Path) -> None:
    fed = played(3)
    memory = tmp_path / "site-01.memory.json"
    fed.memories["site-01"] = ClientMemory(memory)
    fed.session("site-01").check_ledger()
    copy = tmp_path / "site-01.memory.json.ledger.bin"
    for number in (5, 6):
        fed.store.forget(Keys.ledger(number))  # type: ignore[attr-defined]
    fed.memories["site-01"] = ClientMemory(memory)
    with pytest.raises(LedgerError, match="ends before entry 6"):
        fed.session("site-01").check_ledger()
    copy.unlink()
    fed.memories["site-01"] = ClientMemory(memory)
    with pytest.raises(RoundError, match="does not hold entry 6 as this client has seen it"):
        fed.session("site-01").check_ledger()


def test_a_store_that_fails_is_no_reason_to_forget(tmp_path: Path) -> None:
    fed, path = played(3), tmp_path / "copy"
    whole = digests(reader(fed, path))
    kept, read = path.read_bytes(), fed.store.read
    failing = reader(fed, path)
    assert failing.registry

    def fails(key: str, *, max_bytes: int) -> bytes:
        raise TransientError("no answer", subject=key)

    fed.store.read = fails  # type: ignore[method-assign]
    with pytest.raises(TransientError):
        failing.ledger()
    assert path.read_bytes() == kept
    fed.store.read = read  # type: ignore[method-assign]
    assert digests(failing) == whole


def test_a_copy_that_may_not_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(digests(reader(played(2), tmp_path / "file" / "copy"))) == 4


def test_the_users_copy_lies_in_the_state_folder_by_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERFED_STATE", str(tmp_path / "state"))
    assert LedgerCopy.in_state(None) is None
    assert LedgerCopy.in_state("") is None
    for fingerprint in ("one", "other"):
        copy = LedgerCopy.in_state(fingerprint)
        assert copy is not None
        copy.keep([fingerprint.encode()], registry_version=3)
    again = LedgerCopy.in_state("one")
    assert again is not None
    assert again.load() == Kept(registry_version=3, entries=(b"one",))
    assert len([*(tmp_path / "state").glob("ledger-*.bin")]) == 2
    monkeypatch.delenv("HYPERFED_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    elsewhere = LedgerCopy.in_state("one")
    assert elsewhere is not None
    assert elsewhere.load() == Kept()
