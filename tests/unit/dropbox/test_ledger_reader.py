"""The ledger as a reader sees it while others write, cut or annul it (R-71, R-113, R-123)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hyperfed.crypto.proofs import proof_of
from hyperfed.dropbox.ledger_copy import Kept, LedgerCopy
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import (
    LedgerError,
    ObjectNotFound,
    RoundError,
    TransientError,
    TransportError,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


class Watched(MemoryStore):
    """A store at which a first look at some keys finds nothing, or fails."""

    def __init__(self, other: SmallFederation) -> None:
        super().__init__()
        self.late: dict[str, TransportError] = {}
        for key, data in other.objects().items():
            self.put_if_absent(key, data)

    def read_many(
        self, keys: Sequence[str], *, max_bytes: int
    ) -> Iterator[tuple[str, bytes | TransportError]]:
        for key, data in super().read_many(keys, max_bytes=max_bytes):
            yield key, self.late.pop(key, data)


@pytest.fixture(scope="module")
def fed() -> SmallFederation:
    fed = SmallFederation()
    for number in (1, 2, 3):
        fed.play(number)
    return fed


def reader(fed: SmallFederation, copy: Path | None = None) -> DropBoxReader:
    return DropBoxReader(
        fed.store, fingerprint=fed.fingerprint, copy=None if copy is None else LedgerCopy(copy)
    )


def test_a_hole_is_not_an_end(fed: SmallFederation) -> None:
    for gone in (1, 2, 3, 4, 5):
        twin = fed.twin()
        twin.store.forget(Keys.ledger(gone))  # type: ignore[attr-defined]
        with pytest.raises(LedgerError, match="is missing, though ledger/") as caught:
            reader(twin).ledger()
        assert (caught.value.rule, caught.value.subject) == ("R-71", Keys.ledger(gone))


def test_a_hole_is_none_the_less_there_at_the_second_look(fed: SmallFederation) -> None:
    """Whoever asks the same reader again gets the same answer, and no shorter ledger."""
    for gone in (1, 2, 5):
        twin = fed.twin()
        twin.store.forget(Keys.ledger(gone))  # type: ignore[attr-defined]
        here = reader(twin)
        for _ in range(3):
            with pytest.raises(LedgerError, match="is missing, though ledger/"):
                here.ledger()


def test_a_copy_is_kept_by_the_read_that_comes_to_the_end(
    fed: SmallFederation, tmp_path: Path
) -> None:
    store, twin = Watched(fed), fed.twin()
    store.late, twin.store = {Keys.ledger(5): TransientError("no answer")}, store
    here, path = reader(twin, tmp_path / "copy"), tmp_path / "copy"
    with pytest.raises(TransientError):
        here.ledger()
    assert not path.exists()
    here.ledger()
    assert len(LedgerCopy(path).load().entries) == 6


def test_what_is_appended_while_it_is_read_is_read(fed: SmallFederation) -> None:
    store = Watched(fed)
    store.late = {Keys.ledger(n): ObjectNotFound("no such object") for n in (2, 4)}
    twin = fed.twin()
    twin.store = store
    assert [c.entry.sequence for c in reader(twin).ledger()] == [1, 2, 3, 4, 5, 6]
    assert not store.late


def test_a_store_that_does_not_answer_ends_no_ledger(fed: SmallFederation) -> None:
    store = Watched(fed)
    store.late = {Keys.ledger(3): TransientError("no answer")}
    twin = fed.twin()
    twin.store = store
    here = reader(twin)
    with pytest.raises(TransientError):
        here.ledger()
    assert len(here.verified_entries()) in (1, 2)
    assert len(here.ledger()) == 6


def test_the_newest_entry_is_proven_once_it_is_read(fed: SmallFederation) -> None:
    here, entry = reader(fed), reader(fed).ledger()[0].entry
    assert (here.ledger_proof, here.verified_entries()) == (b"", [])
    here.check_entry(entry)  # nothing is known that it contradicts
    assert [c.digest for c in here.verified_entries()] == []
    whole = here.ledger()
    assert here.ledger_proof == proof_of(fed.objects()[Keys.ledger(6)])
    assert here.verified_entries() == whole
    with pytest.raises(LedgerError, match="does not follow"):
        here.check_entry(entry)


def test_an_entry_of_a_round_to_come_is_believed_once_the_roots_have_annulled_it(
    fed: SmallFederation,
) -> None:
    """R-115: by the clock of this reader round 3 has not begun."""
    twin, early = fed.twin(), fed.night(1)
    annulled = []
    for chained in (*fed.reader().ledger()[4:], None):
        here = DropBoxReader(twin.store, fingerprint=fed.fingerprint, now=early)
        if chained is None:
            assert len(here.ledger()) == 6
            break
        with pytest.raises(RoundError) as caught:
            here.ledger()
        assert (caught.value.rule, caught.value.subject) == (
            "R-115",
            Keys.ledger(chained.entry.sequence),
        )
        annulled.append(Annulment(sequence=chained.entry.sequence, digest=chained.digest))
        twin.amend(annulled=tuple(annulled))


def test_a_reader_reads_anew_once_the_roots_have_annulled(fed: SmallFederation) -> None:
    twin = fed.twin()
    here = reader(twin)
    last = here.ledger()[-1]
    twin.amend(annulled=(Annulment(sequence=6, digest=last.digest),))
    assert here.ledger()[-1] == last, "of the version that it knows"
    here.refresh_registry()
    assert (here.ledger()[-1].original, here.ledger()[-1].digest) == (last.entry, last.digest)


@pytest.mark.parametrize("longer", [True, False])
def test_a_copy_of_an_abandoned_branch_is_forgotten(
    fed: SmallFederation, longer: bool, tmp_path: Path
) -> None:
    """Until the roots have abandoned its head it is evidence, and stops this machine (R-113)."""
    left, right, path = fed.twin(), fed.twin(), tmp_path / "copy"
    right.play(4)
    if not longer:
        left.play(4, but=["site-02"])
    head = reader(right, path).ledger()[-1]
    kept, said = path.read_bytes(), "ends before" if longer else "signed two histories"
    for annulled in ((), (Annulment(sequence=8, digest=b"\1" * 32),)):
        left.amend(annulled=annulled)
        with pytest.raises(LedgerError, match=said) as caught:
            reader(left, path).ledger()
        assert (caught.value.rule, str(path) in caught.value.remedy) == ("R-113", True)
        assert path.read_bytes() == kept
    abandoned = Annulment(sequence=8, digest=head.digest)
    left.amend(annulled=tuple(sorted((*annulled, abandoned), key=lambda a: a.digest)))
    assert reader(left, path).ledger() == reader(left).ledger()
    assert len(LedgerCopy(path).load().entries) == (6 if longer else 8)


@pytest.mark.parametrize("cut", [0, 1])
def test_a_copy_is_read_up_to_its_bound(cut: int, tmp_path: Path) -> None:
    copy = LedgerCopy(tmp_path / "copy")
    entries = (b"short", b"long" * 200)  # which are read as bytes and as a view of them
    copy.keep(entries, registry_version=3)
    with pytest.MonkeyPatch.context() as patched:
        bound = copy.path.stat().st_size - cut
        patched.setattr("hyperfed.dropbox.ledger_copy._MAX_BYTES", bound)
        read = copy.load()
    assert read == (Kept() if cut else Kept(registry_version=3, entries=entries))


def test_nothing_is_kept_where_there_is_no_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperfed.dropbox.ledger_copy.state_folder", lambda: None)
    assert LedgerCopy.in_state("a fingerprint") is None
