"""Ledger heads as people compare them."""

from dataclasses import replace

import pytest

from hyperfed.errors import ConfigError, RoundError
from hyperfed.protocol.heads import Head, annulled_in_words, check_head, head_of
from hyperfed.protocol.ledger import Chained, annulled_entry
from hyperfed.registry.annulments import Annulment
from hyperfed.testing.federation import SmallFederation


@pytest.fixture(scope="module")
def ledger() -> list[Chained]:
    fed = SmallFederation()
    fed.play(1)
    fed.play(2)
    return fed.reader().ledger()


def test_a_head_is_read_back_as_it_is_shown(ledger: list[Chained]) -> None:
    head = head_of(ledger)
    assert head == Head(sequence=4, digest=ledger[3].digest.hex())
    assert str(head).startswith(f"4: {head.digest[:4]} {head.digest[4:8]} ")
    assert Head.parse(str(head)) == head
    assert Head.parse(f" 4 {head.digest.upper()} ") == head
    assert check_head(ledger, head)
    assert check_head(ledger, Head.parse(f"2: {ledger[1].digest.hex()[:16]}"))
    assert str(head_of([])) == "0: empty"


def test_who_is_behind_cannot_tell_yet(ledger: list[Chained]) -> None:
    assert check_head(ledger[:2], head_of(ledger)) is False


@pytest.mark.parametrize("place", [1, 4])
def test_another_history_names_both_heads(ledger: list[Chained], place: int) -> None:
    own = ledger[place - 1].digest.hex()
    other = Head(sequence=place, digest=own[:-1] + ("0" if own[-1] != "0" else "1"))
    with pytest.raises(RoundError, match="two histories") as caught:
        check_head(ledger, other)
    assert str(other) in caught.value.problem
    assert caught.value.rule == "R-130"


@pytest.mark.parametrize(
    "text",
    ["", "4", "4: 3f2a", "x: " + "0" * 64, "0: " + "0" * 64, "4: " + "0" * 65, "4: " + "g" * 64],
)
def test_a_text_that_is_no_head(text: str) -> None:
    with pytest.raises(ConfigError, match="no ledger's head"):
        Head.parse(text)


def test_what_is_annulled_here_and_what_is_of_another_branch(ledger: list[Chained]) -> None:
    last = ledger[3]
    annulled = replace(last, entry=annulled_entry(last.entry), original=last.entry)
    here = Annulment(sequence=4, digest=last.digest)
    there = Annulment(sequence=3, digest=b"\3" * 32, entry=b"an envelope")
    beyond = Annulment(sequence=9, digest=b"\4" * 32)
    twin = Annulment(sequence=4, digest=b"\5" * 32)
    shown = str(Head(sequence=4, digest=last.digest.hex()[:16]))
    assert annulled_in_words((there, here, twin, beyond), [*ledger[:3], annulled]) == [
        "the roots have abandoned the branch of entry 3: 0303 0303 0303 0303, and its charge "
        "carries over",
        f"the roots have annulled entry {shown}: a commit of round 2",
        "the roots have abandoned the branch of entry 4: 0505 0505 0505 0505",
        "the roots have abandoned the branch of entry 9: 0404 0404 0404 0404",
    ]
    assert annulled_in_words((), ledger) == []
