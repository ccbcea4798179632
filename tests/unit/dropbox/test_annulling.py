"""What the roots are about to annul: entries signed for this federation (R-123, R-124)."""

from dataclasses import replace

import pytest

from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.annulling import abandoned_entry, annulled_here, sequences_of
from hyperfed.errors import HyperfedError, LedgerError, ObjectNotFound
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.entries import EntryKind, LedgerEntry
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def worlds() -> tuple[SmallFederation, SmallFederation]:
    """A federation at two drop-boxes, whose ledgers differ from round 2 on."""
    fed = SmallFederation()
    fed.play(1)
    other = fed.twin()
    fed.play(2)
    other.play(2, but=["site-03"])
    return fed, other


def signed_entry(fed: SmallFederation, entry: LedgerEntry) -> bytes:
    """Return the envelope of an entry, as whoever has the coordinator's key can write it."""
    return sign_object(
        Keys.ledger(entry.sequence),
        PacketType.LEDGER,
        entry,
        key_pair=fed.coordinator,
        time=entry.time,
        sequence=entry.sequence,
        previous=entry.previous,
    ).data


def test_an_entry_of_this_ledger_is_named_by_number_and_digest(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    fed, _ = worlds
    assert annulled_here(fed.reader(), 3) == Annulment(
        sequence=3, digest=fed.reader().ledger()[2].digest
    )
    with pytest.raises(ObjectNotFound, match="no such entry") as caught:
        annulled_here(fed.reader(), 5)
    assert caught.value.rule == "R-123"
    moved = fed.twin()
    moved.store.put_if_absent(Keys.ledger(5), moved.objects()[Keys.ledger(4)])
    with pytest.raises(LedgerError, match="holds entry 4") as refused:
        annulled_here(moved.reader(), 5)
    assert refused.value.rule == "R-71"


def test_an_entry_of_another_federation_is_no_reason(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    """The coordinator's key may be the same."""
    fed, _ = worlds
    twin, entry = fed.twin(), fed.reader().ledger()[3].entry
    data = signed_entry(fed, replace(entry, federation="other-fed", sequence=5))
    twin.store.put_if_absent(Keys.ledger(5), data)
    for call in (
        lambda: annulled_here(twin.reader(), 5),
        lambda: abandoned_entry(twin.reader(), data, subject="file"),
    ):
        with pytest.raises(LedgerError, match="belongs to federation 'other-fed'"):
            call()


def test_an_entry_of_an_abandoned_branch_is_kept_whole_and_one_of_this_is_not(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    fed, other = worlds
    for number in (3, 4):
        data = other.objects()[Keys.ledger(number)]
        digest = other.reader().ledger()[number - 1].digest
        expected = Annulment(sequence=number, digest=digest, entry=data)
        shorter = fed.twin()
        shorter.store.forget(Keys.ledger(number))  # type: ignore[attr-defined]
        for here in (fed, shorter):
            assert abandoned_entry(here.reader(), data, subject="file") == expected
    for number in (1, 3):
        with pytest.raises(LedgerError, match="would be charged twice") as caught:
            abandoned_entry(fed.reader(), fed.objects()[Keys.ledger(number)], subject="file")
        assert caught.value.rule == "R-124"


def test_what_an_abandoned_branch_has_counted_is_read_from_the_state_of_its_commit(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    fed, other = worlds
    reader, objects = fed.reader(), other.objects()
    branch = [abandoned_entry(reader, objects[Keys.ledger(n)], subject="file") for n in (3, 4)]
    data = objects[Keys.state(2)]
    named = sequences_of(reader, data, branch, subject="file")
    assert named == {other.keys[c].key_id: 2 if c != "site-03" else 1 for c in other.clients}
    bare = [replace(item, entry=b"") for item in branch]
    for given, annulled in (
        (data, branch[:1]),  # a reserve names no state
        (data, bare),
        (data, ()),
        (objects[Keys.state(1)], branch),
    ):
        with pytest.raises(LedgerError, match="is not the state") as caught:
            sequences_of(reader, given, annulled, subject="file")
        assert caught.value.rule == "R-124"
    with pytest.raises(HyperfedError):
        sequences_of(reader, b"rubbish", branch, subject="file")


def test_only_a_commit_names_a_state(worlds: tuple[SmallFederation, SmallFederation]) -> None:
    """Who has the coordinator's key could write a void that names one, which was never counted."""
    fed, other = worlds
    stored, commit = other.reader().state(2), other.reader().ledger()[3].entry
    assert stored is not None
    void = signed_entry(fed, replace(commit, kind=EntryKind.VOID, state=stored.digest))
    branch = [abandoned_entry(fed.reader(), void, subject="file")]
    with pytest.raises(LedgerError, match="is not the state"):
        sequences_of(fed.reader(), other.objects()[Keys.state(2)], branch, subject="file")


def test_a_state_that_names_no_keys_counts_by_client_and_nothing_that_was_not_counted(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    fed, other = worlds
    stored, commit = other.reader().state(2), other.reader().ledger()[3].entry
    assert stored is not None
    first, second, third = stored.value.clients
    clients = (
        replace(first, sequences=(), highest_sequence=7),
        replace(second, sequences=(), highest_sequence=0),
        replace(third, sequences=(("a" * 16, 0), ("b" * 16, 1))),
    )
    earlier = sign_object(
        Keys.state(2),
        PacketType.STATE,
        replace(stored.value, clients=clients),
        key_pair=fed.coordinator,
        time=commit.time,
    )
    state_digest = (
        fed.reader()
        .signed(earlier.data, key=earlier.key, types=PacketType.STATE, round_id=2)
        .digest
    )
    entry = signed_entry(fed, replace(commit, state=state_digest))
    branch = [abandoned_entry(fed.reader(), entry, subject="file")]
    named = sequences_of(fed.reader(), earlier.data, branch, subject="file")
    assert named == {first.client: 7, "b" * 16: 1}
