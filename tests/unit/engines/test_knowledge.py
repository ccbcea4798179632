"""Knowledge files, and other libraries' ways to say the same."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hyperfed.engines.knowledge import (
    knowledge_from_causallearn,
    knowledge_from_lingam,
    knowledge_from_pgmpy,
    knowledge_of,
)
from hyperfed.errors import BoundsError, ConfigError
from hyperfed.packets import Knowledge

pytestmark = pytest.mark.unit

KNOWN = Knowledge(
    tiers=(("age", "sex"), ("smoking",), ("cancer",)),
    forbidden=(("sex", "smoking"),),
    required=(("smoking", "cancer"),),
)


def _file(folder: Path, text: str) -> Path:
    path = folder / "knowledge.txt"
    path.write_text(text)
    return path


def test_a_file_of_toml_or_of_tetrad_says_the_same(tmp_path: Path) -> None:
    toml = (
        'tiers = [["age", "sex"], ["smoking"], ["cancer"]]\n'
        'forbidden = [["sex", "smoking"]]\nrequired = [["smoking", "cancer"]]\n'
    )
    tetrad = (
        "/knowledge\naddtemporal\n\n1 age sex\n2 smoking\n3 cancer\n\n"
        "forbiddirect\nsex smoking\n\nrequiredirect\nsmoking cancer\n"
    )
    for text in (toml, tetrad):
        assert knowledge_of(_file(tmp_path, text)) == KNOWN
    lists = {"tiers": [["age", "sex"], ["smoking"], ["cancer"]]}
    assert knowledge_of(lists) == Knowledge(tiers=KNOWN.tiers)
    assert knowledge_of(KNOWN) is KNOWN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tiers = [", "is not TOML"),
        ('tires = [["a"]]', "'tires' is unknown"),
        ('tiers = [["a"], ["a", "b"]]', "'a' is in two tiers"),
        ('forbidden = [["a", "b"], ["a", "b"]]', "an edge of forbidden is given twice"),
        ('forbidden = [["a"]]', r"forbidden has \['a'\]; \[source, target\] is needed"),
        ('required = [["a", "a"]]', "required joins 'a' to itself"),
        ('tiers = [["b"], ["a"]]\nrequired = [["a", "b"]]', "is required, and forbidden by"),
        ('forbidden = [["a", "b"]]\nrequired = [["a", "b"]]', "is required, and forbidden by"),
        ('required = [["a", "b"], ["b", "a"]]', "are required to cause each other"),
        ("/knowledge\naddtemporal\n1* a b\n", r"line 3: '1\* a b' is not understood"),
        ("/knowledge\nforbiddirect\na b c\n", "line 3: 'a b c' is not understood"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises((ConfigError, BoundsError), match=message):
        knowledge_of(_file(tmp_path, text))
    with pytest.raises(ConfigError, match="cannot be read"):
        knowledge_of(tmp_path / "gone.toml")


def test_a_later_tier_causes_no_earlier_one() -> None:
    names = ("cancer", "age", "smoking", "other")
    forbids = KNOWN.forbids(names)
    pairs = {(names[i], names[j]) for i, j in np.argwhere(forbids).tolist()}
    assert pairs == {("cancer", "age"), ("cancer", "smoking"), ("smoking", "age")}
    assert np.argwhere(KNOWN.requires(names)).tolist() == [[2, 0]]


def test_causal_learns_background_is_converted_and_used_alike() -> None:
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge

    nodes = {name: GraphNode(name) for name in ("age", "sex", "smoking", "cancer")}
    said = BackgroundKnowledge()
    for name, tier in (("age", 0), ("sex", 0), ("smoking", 1), ("cancer", 2)):
        said.add_node_to_tier(nodes[name], tier)
    said.add_forbidden_by_node(nodes["sex"], nodes["smoking"])
    said.add_required_by_node(nodes["smoking"], nodes["cancer"])
    assert knowledge_from_causallearn(said) == KNOWN
    names = tuple(nodes)
    theirs = np.array(
        [[a != b and said.is_forbidden(nodes[a], nodes[b]) for b in names] for a in names]
    )
    assert np.array_equal(theirs, KNOWN.forbids(names))
    said.add_forbidden_by_pattern("a.*", "b.*")
    with pytest.raises(ConfigError, match="has patterns of names"):
        knowledge_from_causallearn(said)
    with pytest.raises(ConfigError, match="a dict has no forbidden_rules_specs"):
        knowledge_from_causallearn({})


def test_pgmpys_expert_knowledge_is_converted() -> None:
    expert = SimpleNamespace(
        forbidden_edges={("sex", "smoking")},
        required_edges={("smoking", "cancer")},
        temporal_order=[["age", "sex"], ["smoking"], ["cancer"]],
        search_space=set(),
    )
    assert knowledge_from_pgmpy(expert) == KNOWN
    expert.search_space = {("age", "cancer")}
    with pytest.raises(ConfigError, match="has a search space"):
        knowledge_from_pgmpy(expert)


def test_lingams_prior_has_the_target_in_the_row() -> None:
    from causallearn.search.FCMBased.lingam.utils import make_prior_knowledge

    matrix = make_prior_knowledge(3, no_paths=[[2, 0]])
    assert knowledge_from_lingam(matrix, ("x", "y", "z")) == Knowledge(forbidden=(("z", "x"),))
    with pytest.raises(ConfigError, match="a path from 'x' to 'y', which need not be an edge"):
        knowledge_from_lingam(make_prior_knowledge(3, paths=[[0, 1]]), ("x", "y", "z"))
    with pytest.raises(ConfigError, match=r"the shape \(3, 3\) for 2 names"):
        knowledge_from_lingam(matrix, ("x", "y"))
