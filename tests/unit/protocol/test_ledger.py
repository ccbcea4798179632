"""The ledger as it is read: chain, grammar, claims, and sums that lose no digit (R-71, R-72, R-73,
R-74).
"""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hyperfed.errors import LedgerError, SchemaError
from hyperfed.protocol.entries import (
    EntryKind,
    LedgerEntry,
    Mechanism,
)
from hyperfed.protocol.ledger import (
    Book,
    Chained,
    check_claim,
    check_next,
    exact_sum,
    line_of,
    reserve_id,
    spent,
)
from hyperfed.protocol.machine import Line

RESERVE, COMMIT, VOID = EntryKind.RESERVE, EntryKind.COMMIT, EntryKind.VOID
FREEZE = b"f" * 32
TENTH = Mechanism(kind="basic", epsilon=Decimal("0.1"), delta=Decimal("1e-6"))


class Pen:
    """Writes entries onto a book, each with digest (n repeated)."""

    def __init__(self) -> None:
        self.book = Book("fed")

    def write(self, kind: EntryKind, round_id: int, **changes: Any) -> None:
        before = self.book.entries
        reserve = next((c.entry.id for c in before if c.entry.round == round_id), b"")
        fields: dict[str, Any] = {
            "federation": "fed",
            "sequence": len(before) + 1,
            "previous": before[-1].digest if before else b"",
            "kind": kind,
            "round": round_id,
            "id": {RESERVE: reserve_id("fed", round_id, FREEZE), VOID: reserve, COMMIT: b""}[kind],
            "mechanisms": (TENTH,) if kind is RESERVE else (),
            "freeze": FREEZE,
            "merkle_head": b"m" * 32,
            "time": datetime(2026, 1, 1, tzinfo=UTC),
        }
        entry = LedgerEntry(**(fields | changes))
        self.book.add(entry, bytes([entry.sequence]) * 32)


@pytest.fixture
def pen() -> Pen:
    pen = Pen()
    pen.write(RESERVE, 1)
    pen.write(COMMIT, 1)
    pen.write(RESERVE, 2)
    pen.write(VOID, 2)
    pen.write(VOID, 3)
    return pen


def test_an_honest_ledger_is_read(pen: Pen) -> None:
    assert [line_of(c) for c in pen.book.entries[:2]] == [
        Line(RESERVE, 1, reserve_id("fed", 1, FREEZE), charged=True),
        Line(COMMIT, 1, b""),
    ]
    assert line_of(pen.book.entries[4]) == Line(VOID, 3, None), (
        "a void without a reserve refunds none"
    )
    total = spent(pen.book.entries)
    assert (total.epsilon, total.delta) == (Decimal("0.1"), Decimal("1e-6")), (
        "the void of round 2 refunds its reserve"
    )
    assert spent(pen.book.entries[:3]).epsilon == Decimal("0.2")


@pytest.mark.parametrize(
    ("kind", "round_id", "changes", "why"),
    [
        (RESERVE, 4, {"sequence": 7}, "does not follow"),
        (RESERVE, 4, {"previous": b"x" * 32}, "does not follow"),
        (RESERVE, 4, {"federation": "other"}, "belongs to federation"),
        (RESERVE, 2, {}, "has ended before"),
        (COMMIT, 1, {}, "has ended before"),
        (VOID, 1, {}, "has ended before"),
        (RESERVE, 4, {"id": b"i" * 32}, "does not follow from its freeze"),
        (COMMIT, 4, {}, "was not reserved"),
        (VOID, 4, {"id": reserve_id("fed", 1, FREEZE)}, "refunds what was not reserved"),
    ],
)
def test_what_no_honest_coordinator_appends_is_refused(
    pen: Pen, kind: EntryKind, round_id: int, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(LedgerError, match=why):
        pen.write(kind, round_id, **changes)
    assert len(pen.book.entries) == 5, "nothing was added"


def test_reserves_come_one_at_a_time_and_in_order(pen: Pen) -> None:
    pen.write(RESERVE, 5)
    for round_id, why in ((5, "reserved twice"), (4, "out of order"), (6, "out of order")):
        with pytest.raises(LedgerError, match=why):
            pen.write(RESERVE, round_id)
    for changes in ({"freeze": b"g" * 32}, {"merkle_head": b"n" * 32}):
        with pytest.raises(LedgerError, match="another freeze"):
            pen.write(COMMIT, 5, **changes)
    with pytest.raises(LedgerError, match="refunds"):
        pen.write(VOID, 5, id=b"i" * 32)
    pen.write(COMMIT, 5)
    with pytest.raises(LedgerError, match="out of order"):
        pen.write(RESERVE, 4)


CENTRAL = Mechanism(
    kind="gaussian",
    epsilon=Decimal("0.1"),
    delta=Decimal("1e-6"),
    sigma=9,
    sensitivity=3,
    place="central",
    relation="zero-out",
    unit="client",
)
NOISE = b"n" * 32


def test_a_void_of_an_earlier_version_may_refund_and_one_of_this_may_not(pen: Pen) -> None:
    pen.write(RESERVE, 5)
    pen.write(VOID, 5, id=b"")  # this version ends a round that an earlier one reserved
    pen.write(RESERVE, 6, final=True)
    with pytest.raises(LedgerError, match="refunds what stays charged"):
        pen.write(VOID, 6)
    pen.write(VOID, 6, id=b"")
    assert spent(pen.book.entries).epsilon == Decimal("0.3")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"final": False}, "is not final"),
        ({"mechanisms": ()}, "is final and charges nothing"),
        ({"mechanisms": (CENTRAL,)}, "does not name the noise"),
        ({"noise": NOISE}, "does not name the noise"),
    ],
)
def test_after_a_final_reserve_none_is_written_as_an_earlier_version_did(
    pen: Pen, changes: dict[str, Any], why: str
) -> None:
    pen.write(RESERVE, 5, final=True, mechanisms=(CENTRAL,), noise=NOISE)
    assert line_of(pen.book.entries[-1]).noise == NOISE
    pen.write(COMMIT, 5)
    with pytest.raises(LedgerError, match=why):
        pen.write(RESERVE, 6, **({"final": True} | changes))
    pen.write(RESERVE, 6, final=False, mechanisms=())  # a round without noise charges nothing


def test_a_void_names_the_reserve_that_it_refunds_where_nothing_stays_charged(pen: Pen) -> None:
    pen.write(RESERVE, 5, mechanisms=())
    with pytest.raises(LedgerError, match="refunds what was not reserved"):
        pen.write(VOID, 5, id=b"")
    pen.write(VOID, 5)
    with pytest.raises(LedgerError, match="refunds what was not reserved"):
        pen.write(VOID, 6, id=b"i" * 32)


LOCAL = replace(CENTRAL, place="local")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"final": False, "mechanisms": (CENTRAL,)}, ""),  # as an earlier version wrote it
        ({"final": False, "mechanisms": (CENTRAL,), "noise": NOISE}, "does not name the noise"),
        ({"final": True, "mechanisms": (LOCAL,)}, ""),
        ({"final": True, "mechanisms": (LOCAL,), "noise": NOISE}, "does not name the noise"),
        ({"final": True, "mechanisms": (LOCAL, CENTRAL), "noise": NOISE}, ""),
        ({"final": True, "mechanisms": ()}, "is final and charges nothing"),
    ],
)
def test_a_reserve_names_noise_where_the_coordinator_adds_some(
    pen: Pen, changes: dict[str, Any], why: str
) -> None:
    if not why:
        pen.write(RESERVE, 5, **changes)
        return
    with pytest.raises(LedgerError, match=why):
        pen.write(RESERVE, 5, **changes)


# -- what the roots have annulled (R-123) ----------------------------------------------------------


def annul_newest(pen: Pen) -> Chained:
    """Read the same entries again, of which the roots have annulled the newest."""
    *before, newest = pen.book.entries
    pen.book = Book("fed")
    for chained in before:
        pen.book.add(chained.entry, chained.digest)
    pen.book.add_annulled(newest.entry, newest.digest)
    assert pen.book.entries[-1].original == newest.entry
    return pen.book.entries[-1]


def test_an_annulled_reserve_reserves_nothing_and_keeps_its_charge(pen: Pen) -> None:
    pen.write(RESERVE, 5, final=True, mechanisms=(CENTRAL,), noise=NOISE)
    line = line_of(annul_newest(pen))
    assert (line.round, line.noise, line.charged, line.annulled) == (0, None, True, True)
    assert spent(pen.book.entries).epsilon == Decimal("0.2")
    pen.write(RESERVE, 6)  # round 5 is not open, and nobody has to be final yet
    pen.write(COMMIT, 6)


def test_a_round_may_be_reserved_again_or_end_by_its_annulled_reserve(pen: Pen) -> None:
    """The reserve is not read as one, and what ends its round was not written in ignorance."""
    pen.write(RESERVE, 5)
    annul_newest(pen)
    for kind in (COMMIT, VOID):
        other = deepcopy(pen)
        other.write(kind, 5, **({"id": reserve_id("fed", 5, FREEZE)} if kind is VOID else {}))
        with pytest.raises(LedgerError, match="has ended before"):
            other.write(RESERVE, 5)
    pen.write(RESERVE, 5)
    with pytest.raises(LedgerError, match="another freeze"):
        pen.write(COMMIT, 5, freeze=b"g" * 32)


def test_an_annulled_commit_ends_its_round_and_refunds_nothing(pen: Pen) -> None:
    pen.write(RESERVE, 5)
    pen.write(COMMIT, 5)
    left = annul_newest(pen)
    assert line_of(left) == Line(VOID, 5, None)
    assert spent(pen.book.entries).epsilon == Decimal("0.2")
    for kind in (RESERVE, COMMIT, VOID):
        with pytest.raises(LedgerError, match="has ended before"):
            pen.write(kind, 5)
    with pytest.raises(LedgerError, match="out of order"):
        pen.write(RESERVE, 4)
    pen.write(RESERVE, 6)


def test_an_annulled_commit_of_a_far_round_is_the_newest(pen: Pen) -> None:
    """Nobody reserved round 9; what was committed there may have been released."""
    entry = replace(pen.book.entries[1].entry, sequence=6, previous=b"\5" * 32, round=9)
    pen.book.add_annulled(entry, b"\6" * 32)
    with pytest.raises(LedgerError, match="out of order"):
        pen.write(RESERVE, 8)
    pen.write(RESERVE, 10)


def test_an_annulled_void_ends_nothing(pen: Pen) -> None:
    pen.write(VOID, 50_000)
    left = annul_newest(pen)
    assert (left.entry.kind, left.entry.round, left.entry.mechanisms) == (RESERVE, 0, ())
    pen.write(RESERVE, 5)


def test_what_is_annulled_keeps_its_place_in_the_chain(pen: Pen) -> None:
    entry = pen.book.entries[-1].entry
    for wrong in (entry, replace(entry, sequence=6), replace(entry, previous=b"\5" * 32)):
        with pytest.raises(LedgerError, match="does not follow") as caught:
            pen.book.add_annulled(wrong, b"\6" * 32)
        assert caught.value.rule == "R-71"
    with pytest.raises(LedgerError, match="belongs to federation"):
        pen.book.add_annulled(
            replace(entry, federation="other", sequence=6, previous=b"\5" * 32), b"\6" * 32
        )
    assert len(pen.book.entries) == 5


@pytest.mark.parametrize(
    "changes",
    [{"noise": b"short"}, {"kind": VOID, "noise": NOISE}, {"kind": COMMIT, "final": True}],
)
def test_only_a_reserve_names_noise(changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "federation": "fed",
        "sequence": 1,
        "previous": b"",
        "kind": RESERVE,
        "round": 1,
        "id": b"",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
    }
    with pytest.raises(SchemaError, match="R-110"):
        LedgerEntry(**(fields | changes))


def test_a_first_entry_names_none() -> None:
    entry = LedgerEntry(
        federation="fed",
        sequence=1,
        previous=b"",
        kind=VOID,
        round=1,
        id=b"",
        time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    check_next(entry, before=None, federation="fed")
    with pytest.raises(LedgerError):
        check_next(replace(entry, previous=b"x" * 32), before=None, federation="fed")


def test_a_claim_must_be_in_the_ledger(pen: Pen) -> None:
    entries: list[Chained] = pen.book.entries
    check_claim(entries, sequence=0, digest=b"", by="new")
    check_claim(entries, sequence=5, digest=b"\5" * 32, by="ann")
    with pytest.raises(LedgerError, match="ends at entry 5, ann has seen entry 6"):
        check_claim(entries, sequence=6, digest=b"\6" * 32, by="ann")
    with pytest.raises(LedgerError, match="is not the one that ann has seen"):
        check_claim(entries, sequence=4, digest=b"\5" * 32, by="ann")


def test_sums_lose_no_digit() -> None:
    assert exact_sum([Decimal("0.1")] * 3) == Decimal("0.3")
    assert exact_sum([Decimal(10), Decimal("1e-60")]) > Decimal(10), (
        "the default context would round this away"
    )
    with pytest.raises(LedgerError, match="too far apart"):
        exact_sum([Decimal("1e300"), Decimal("1e-300")])


def test_a_reserves_id_follows_from_federation_round_and_freeze() -> None:
    ids = {
        reserve_id(f, r, z) for f in ("fed", "fed2") for r in (1, 11) for z in (FREEZE, b"g" * 32)
    }
    assert len(ids) == 8
    assert reserve_id("fed", 1, FREEZE) == reserve_id("fed", 1, FREEZE)
