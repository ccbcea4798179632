"""A copy of the ledger (R-75): the next process asks for what came since, and no copy changes what it comes to."""

from pathlib import Path

import pytest

from hyperfed.adapters.memory import MemoryStore
from hyperfed.client import ClientMemory
from hyperfed.codec import pack
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.dropbox import DropBoxReader
from hyperfed.errors import RoundError, TransientError
from hyperfed.ledger_copy import LedgerCopy
from hyperfed.rounds import Keys
from hyperfed.testing.federation import SmallFederation

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


def test_the_next_reader_asks_for_the_newest_entry_it_has_and_for_those_after_it(tmp_path: Path) -> None:
    fed = played(5)
    whole = digests(reader(fed, tmp_path / "copy"))
    assert len(whole) == 10
    assert isinstance(fed.store, Asked)
    fed.store.entries()
    assert digests(reader(fed, tmp_path / "copy")) == whole
    assert fed.store.entries() == [Keys.ledger(10), Keys.ledger(11)]
    fed.play(6)
    fed.store.entries()
    assert digests(reader(fed, tmp_path / "copy")) == digests(fed.reader())
    assert set(fed.store.entries()[:4]) == {Keys.ledger(n) for n in range(10, 14)}


@pytest.mark.parametrize("command", ["submit", "pull", "receipt"])
def test_what_a_clients_command_asks_for_does_not_grow_with_the_rounds_before_it(command: str, tmp_path: Path) -> None:
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
        RoundRunner(store, keys=fed.coordinator, now=fed.night(rounds + 1), fingerprint=fed.fingerprint, copy=copy).run(rounds + 1)
        asked.append(len(store.keys))
    assert asked[0] == asked[1] <= 2 + 40


@pytest.mark.parametrize(
    "harm", ["nothing there", "cut off", "no canonical bytes", "another form", "no entries", "not bytes", "a folder", "other bytes at the end"]
)
def test_a_copy_that_cannot_be_read_is_forgotten_and_made_again(harm: str, tmp_path: Path) -> None:
    fed, path = played(3), tmp_path / "copy"
    whole = digests(reader(fed, path))
    good = path.read_bytes()
    bad = {
        "nothing there": b"",
        "cut off": good[:-10],
        "no canonical bytes": b"\xff" * 40,
        "another form": pack(["hyperfed ledger copy 0", b"x"]),
        "no entries": pack(["hyperfed ledger copy 1"]),
        "not bytes": pack(["hyperfed ledger copy 1", 7]),
        "other bytes at the end": good + b"\x00",
    }
    path.unlink()
    if harm == "a folder":
        path.mkdir()
    else:
        path.write_bytes(bad[harm])
    assert digests(reader(fed, path)) == whole
    assert harm == "a folder" or path.read_bytes() == good


def test_a_copy_that_the_stores_ledger_does_not_go_through_is_forgotten(tmp_path: Path) -> None:
    """Another federation's, one with an entry changed or left out, one of a drop-box that was rolled back."""
    fed, path = played(3), tmp_path / "copy"
    whole = digests(reader(fed, path))
    entries = LedgerCopy(path).load()
    other = SmallFederation(clients=2, name="other-fed")
    other.play(1)
    theirs = [other.objects("ledger/")[Keys.ledger(n)] for n in (1, 2)]
    flipped = entries[1][:-1] + bytes([entries[1][-1] ^ 1])
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
        LedgerCopy(path).keep(wrong)
        assert digests(reader(fed, path)) == whole
        assert LedgerCopy(path).load() == entries
    LedgerCopy(path).keep(entries[:3])  # an older one is a true one
    assert digests(reader(fed, path)) == whole


def test_a_process_writes_its_copy_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there from the first time on; what the process itself appends the next one reads."""
    fed, kept = played(2), list[int]()
    keep = LedgerCopy.keep
    monkeypatch.setattr(LedgerCopy, "keep", lambda self, entries: (kept.append(len(entries)), keep(self, entries))[1])
    here = reader(fed, tmp_path / "copy")
    assert len(here.ledger()) == 4
    fed.play(3)
    assert len(here.ledger()) == 6
    assert kept == [4]
    assert len(reader(fed, tmp_path / "copy").ledger()) == 6
    assert kept == [4, 6]
    assert len(reader(fed, tmp_path / "copy").ledger()) == 6
    assert kept == [4, 6], "nothing is new"


def test_of_two_histories_by_the_same_coordinator_the_stores_counts(tmp_path: Path) -> None:
    """A drop-box that was restored, and went on differently."""
    fed, path = played(3), tmp_path / "copy"
    other = fed.twin()
    for each, effect in ((fed, 0.5), (other, 0.75)):
        each.open(4)
        for client in each.clients:
            each.submit(client, each.update(client, effect=effect), round_id=4)
        each.run(4)
    theirs = digests(reader(other, path))
    assert len(theirs) == len(digests(fed.reader()))
    assert digests(reader(fed, path)) == digests(fed.reader()) != theirs


def test_a_drop_box_that_was_rolled_back_is_seen_as_without_a_copy(tmp_path: Path) -> None:
    fed = played(3)
    memory = tmp_path / "site-01.memory.json"
    fed.memories["site-01"] = ClientMemory(memory)
    fed.session("site-01").check_ledger()
    assert (tmp_path / "site-01.memory.json.ledger.bin").exists()
    for number in (5, 6):
        del fed.store._objects[Keys.ledger(number)]  # type: ignore[attr-defined]
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


def test_the_users_copy_lies_in_the_cache_folder_by_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERFED_CACHE", str(tmp_path / "cache"))
    assert LedgerCopy.in_cache(None) is None
    assert LedgerCopy.in_cache("") is None
    for fingerprint in ("one", "other"):
        copy = LedgerCopy.in_cache(fingerprint)
        assert copy is not None
        copy.keep([fingerprint.encode()])
    again = LedgerCopy.in_cache("one")
    assert again is not None
    assert again.load() == [b"one"]
    assert len([*(tmp_path / "cache").glob("ledger-*.bin")]) == 2
    monkeypatch.delenv("HYPERFED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    elsewhere = LedgerCopy.in_cache("one")
    assert elsewhere is not None
    assert elsewhere.load() == []
