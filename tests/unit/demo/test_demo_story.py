"""The demonstration's closing words: every name and number in them comes from the night."""

from dataclasses import replace

import pytest

from hyperfed.demo.story import NightFacts, story, striking
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.report.rows import TrustRow

pytestmark = pytest.mark.unit

STRONG, WEAK = ("a", "b", 1), ("b", "c", 1)


def row(
    client: str,
    weight: float | None,
    *,
    after: float = 0.5,
    barred: bool = False,
    fate: Fate = Fate.COUNTED,
) -> TrustRow:
    return TrustRow(
        client=client,
        organisation="",
        fate=fate,
        before=0.5,
        after=after,
        weight=weight,
        agreement=-0.25 if not weight else 0.75,
        weight_before=None,
        rounds_seen=3,
        rounds_missed=0,
        barred=barred,
    )


FACTS = NightFacts(
    night=3,
    rows=[
        row("liar-1", 0.0, after=0.22),
        row("liar-2", 0.07, after=0.31),
        row("odd", 0.0, after=0.06, barred=True),
        row("calm", 0.8),
    ],
    liars=frozenset({"liar-1", "liar-2"}),
    silent={"odd": 2},
    lies={"liar-1": 1, "liar-2": 1},
    before={STRONG: 0.6, WEAK: -0.4},
    now={STRONG: 0.5, WEAK: -0.35},
    plain={STRONG: 0.1, WEAK: 0.45},
    cut=0.3,
    trust_min=0.15,
)


def test_it_says_who_lied_what_weight_they_got_and_what_a_plain_mean_would_be() -> None:
    text = "\n".join(story(FACTS))
    assert "In night 3, 2 of 4 states lied: liar-1, liar-2." in text
    assert "1 of 2 had no weight in the merge, and the most that one of them had is 0.07." in text
    assert "The other states had a weight of 0.40 on average." in text
    assert (
        "The graph has 2 edges. Of the 2 of the night before it keeps 2 with the same sign." in text
    )
    assert "would have 1 edge and keep 0 of those 2, with 1 turned around." in text


def test_it_names_the_honest_that_pay_and_says_why() -> None:
    text = "\n".join(story(FACTS))
    assert (
        "1 honest state had no weight in night 3 either: odd (agreement \u22120.25). Below 0, the "
        "data contradict those of the others." in text
    )
    loud = replace(FACTS, rows=[replace(row("odd", 0.0), agreement=0.5), *FACTS.rows[:2]])
    said = "\n".join(story(loud))
    assert "odd (agreement +0.50). Above 0, the votes are surer than most" in said
    assert "contradict those" not in said
    assert (
        "1 honest state will be left out of the next round, though it never lied: odd, trust "
        "0.060, no weight in 2 of 3 nights." in text
    )
    assert "fell below 0.15" in text
    assert "2 of the 2 liars will be invited again" in text
    assert "0.22 to 0.31" in text
    assert [r.client for r in striking(FACTS)] == ["liar-1", "liar-2", "odd"]


def test_other_nights_have_other_words() -> None:
    honest = replace(
        FACTS, night=1, liars=frozenset(), before=None, rows=[row("calm", 0.8)], silent={}
    )
    assert story(honest) == [
        "Nobody lied in night 1; in this demonstration 14 states lie from the third night on.",
        "The graph has 2 edges, those with |vote| of 0.3 or more.",
    ]
    later = replace(
        FACTS,
        night=5,
        rows=[
            row("liar-1", None, fate=Fate.EXCLUDED, barred=True),
            row("liar-2", 0.0),
            row("calm", 0.8),
        ],
    )
    text = "\n".join(story(later))
    assert "Left out of this night for their trust: liar-1." in text
    assert "1 of these updates was counted" in text
    assert "honest state" not in text
    known = replace(
        FACTS,
        rows=[row("liar-1", 0.0, after=0.1, barred=True), row("calm", 0.8)],
        liars=frozenset({"liar-1"}),
        silent={"liar-1": 3},
    )
    assert (
        "Of the liars liar-1, trust 0.100, no weight in 3 of 3 nights, will be left out as "
        "well; it lied in 1 of these nights." in story(known)[-1]
    )
