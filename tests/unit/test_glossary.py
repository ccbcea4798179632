"""The glossary has every word of the project's own that ten modules use.

A word is a part of an identifier: `frozen_clients` has two. A word that ten modules use, and of
which some module defines a name, stands in docs/glossary.md, or in `ordinary_words.txt` where it is
English or Python as everybody knows it.
"""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hyperfed"
ORDINARY = Path(__file__).parent / "ordinary_words.txt"
MODULES = 10
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

pytestmark = pytest.mark.unit


def singular(word: str) -> str:
    for ending, short in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("ss", "ss")):
        if word.endswith(ending):
            return word.removesuffix(ending) + short
    return word.removesuffix("s") if len(word) > 3 and not word.endswith(("us", "is")) else word


def stems(word: str) -> set[str]:
    """The word, and what it may be a form of: merged of merge, admitted of admit."""
    forms = {word}
    for ending in ("ed", "ing"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word.removesuffix(ending)
            forms |= {stem, f"{stem}e", stem[:-1] if stem[-1] == stem[-2] else stem}
    return forms


def words_of(identifier: str) -> set[str]:
    return {singular(word.lower()) for word in WORD.findall(identifier) if len(word) > 2}


def identifiers(module: ast.Module) -> tuple[set[str], set[str]]:
    """All identifiers of a module, and those that it gives to something."""
    used, defined = set[str](), set[str]()
    for node in ast.walk(module):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                defined.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                used.add(name)
            case ast.keyword(arg=str(name)):
                used.add(name)
    return used | defined, defined


@cache
def frequent_words() -> frozenset[str]:
    """Words that ten modules use, and of which some module defines a name."""
    modules, own = Counter[str](), set[str]()
    for file in sorted(SOURCE.rglob("*.py")):
        used, defined = identifiers(ast.parse(file.read_text(encoding="utf-8")))
        modules.update({word for name in used for word in words_of(name)})
        own |= {word for name in defined for word in words_of(name)}
    return frozenset(word for word in own if modules[word] >= MODULES)


def glossary_words() -> set[str]:
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]{10,} \|$",
        (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {word for row in rows for word in words_of(row)}


def ordinary_words() -> list[str]:
    return ORDINARY.read_text(encoding="utf-8").split()


def test_words_that_ten_modules_use_stand_in_the_glossary() -> None:
    known_words = glossary_words() | {*ordinary_words()}
    unknown = {word for word in frequent_words() if stems(word).isdisjoint(known_words)}
    assert not unknown, (
        f"{', '.join(sorted(unknown))}: say in docs/glossary.md what the word means, or use one "
        f"that stands there; {ORDINARY.name} is for English and Python"
    )


def test_no_word_is_both_ordinary_and_the_projects_own() -> None:
    assert not {*ordinary_words()} & glossary_words()


def test_the_ordinary_words_are_sorted_each_once_and_lower_case() -> None:
    words = ordinary_words()
    assert words == sorted({word.lower() for word in words})


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("frozen_clients", {"frozen", "client"}),
        ("HTTPBaskets", {"http", "basket"}),
        ("_policies", {"policy"}),
        ("basis", {"basis"}),
    ],
)
def test_a_word_is_a_part_of_an_identifier(identifier: str, words: set[str]) -> None:
    assert words_of(identifier) == words


def test_a_word_is_known_in_its_other_forms() -> None:
    assert {"merge"} <= stems("merged")
    assert {"admit"} <= stems("admitted")
    assert {"sign"} <= stems("signing")
    assert stems("red") == {"red"}


def test_a_module_defines_some_of_the_names_that_it_uses() -> None:
    used, defined = identifiers(ast.parse("def f(flurbs):\n    return flurbs.flurb_count"))
    assert (used, defined) == ({"flurbs", "flurb_count", "f"}, {"flurbs", "f"})


def test_a_word_that_stands_nowhere_is_found() -> None:
    """Without a row of the glossary, or a line of the list, the look at all modules fails."""
    assert "basket" in frequent_words()
    assert "basket" not in ordinary_words()
    assert len(frequent_words()) > 300
