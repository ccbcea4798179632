"""A vocabulary names variables once, in text that is safe to show, and its digest is all of it."""

from pathlib import Path
from typing import Any

import pytest

from hyperfed.errors import BoundsError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Variable, Vocabulary


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 201,
        "a\nb",
        "a\0",
        "\x1b[31m",
        "\u202egnp",
        "a\u200bb",
        "\ud800",
        "\u2028",
        None,
        5,
    ],
)
def test_a_variables_name_is_a_short_printable_text(name: Any) -> None:
    """Nothing that steers a terminal, hides, or reverses what is read."""
    with pytest.raises(BoundsError):
        Variable(name)
    if name != "":
        with pytest.raises(BoundsError):
            Variable("x", name)


@pytest.mark.parametrize(
    "name", ["gnp", "Bruttosozialprodukt (real)", "d\u00e9bit", "\u6e29\u5ea6", "x" * 200]
)
def test_names_of_all_languages_will_do(name: str) -> None:
    assert Vocabulary.of(name).index(name) == 0


def test_names_are_unique_and_the_check_is_quick() -> None:
    """A hundred thousand names, one twice: counted once, not once for each."""
    names = [str(i) for i in range(100_000)]
    with pytest.raises(BoundsError, match="twice: 7"):
        Vocabulary(tuple(Variable(n) for n in [*names, "7"]))


@pytest.mark.parametrize("version", [-1, 1 << 53, True, 1.0, "1"])
def test_a_version_is_a_count(version: Any) -> None:
    with pytest.raises(BoundsError):
        Vocabulary.of("a", version=version)


def test_the_digest_depends_on_everything_and_on_nothing_else() -> None:
    base = Vocabulary.of("ab", "c", domain="d")
    others = [
        Vocabulary.of("a", "bc", domain="d"),
        Vocabulary.of("c", "ab", domain="d"),
        Vocabulary.of("ab", "c", domain=""),
        Vocabulary.of("ab", "c", domain="d", version=2),
        Vocabulary.of("ab", domain="d"),
        Vocabulary((Variable("ab", "d"), Variable("c", "d2"))),
        Vocabulary((Variable("abd"), Variable("c", "d"))),
    ]
    assert len({v.digest for v in [base, *others]}) == 8
    assert Vocabulary.of("ab", "c", domain="d").digest == base.digest
    assert (
        base.digest.hex() == "6a74172f4e60a2b2ec95d460380c562bde7f59426e2554f2a0db3e2f2b08aff4"
    ), "pinned: a change of the digest breaks every signed plan"


def test_units_and_ranges_are_part_of_the_digest_and_their_absence_is_none_of_it() -> None:
    plain = Vocabulary((Variable("ab", "d"), Variable("c", "d")))
    others = [
        (Variable("ab", "d", "EUR"), Variable("c", "d")),
        (Variable("ab", "d"), Variable("c", "d", "EUR")),
        (Variable("ab", "d", low=0), Variable("c", "d")),
        (Variable("ab", "d", high=0), Variable("c", "d")),
        (Variable("ab", "d", low=0, high=1), Variable("c", "d")),
        (Variable("ab", "d", "EUR", 0, 1), Variable("c", "d")),
        (Variable("ab", "dEUR"), Variable("c", "d")),
    ]
    assert len({plain.digest, *(Vocabulary(entries).digest for entries in others)}) == 8
    assert Variable("ab", low=-0.0).low == 0.0
    assert str(Variable("ab", low=-0.0).low) == "0.0", "one form of 0 travels"


@pytest.mark.parametrize(
    "said",
    [
        *({"unit": "E\nUR"}, {"unit": "x" * 201}, {"unit": None}, {"low": float("nan")}),
        *({"high": float("inf")}, {"low": 1.0, "high": 1.0}, {"low": 2, "high": 1}, {"low": "0"}),
        {"low": True},
    ],
)
def test_a_unit_is_a_short_text_and_a_range_two_numbers(said: dict[str, Any]) -> None:
    with pytest.raises(BoundsError):
        Variable("ab", **said)


def test_a_store_keeps_units(tmp_path: Path) -> None:
    vocabulary = Vocabulary((Variable("ab", "d", "EUR", 0, None), Variable("c")))
    graph = HypergraphStore(edges=EdgeTable.empty(), measured=[0, 1], vocabulary=vocabulary)
    graph.save(tmp_path / "graph.npz")
    assert HypergraphStore.load(tmp_path / "graph.npz").vocabulary == vocabulary


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(BoundsError, match="heat, load"):
        Vocabulary.of("heat", "load").index("wear")
