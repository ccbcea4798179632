"""Ledger heads as people compare them."""

import pytest

from hyperfed.errors import ConfigError, RoundError
from hyperfed.protocol.heads import Head, check_head, head_of
from hyperfed.protocol.ledger import Chained
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
