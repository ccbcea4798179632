"""Who holds which seed, and how many open a sum."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from hyperfed.errors import ConfigError
from hyperfed.secure_aggregation import HelperGroup
from tests.unit.secure_aggregation.sums import group_of

GROUPS = [(4, 1), (5, 1), (5, 2), (6, 1), (6, 2), (6, 3), (7, 1), (7, 2), (7, 3), (7, 4)]
CHECKABLE = [(4, 1), (5, 1), (6, 1), (7, 1), (7, 2)]


@pytest.mark.parametrize(("helpers", "colluding", "seeds", "quorum"), [(4, 1, 6, 3), (5, 2, 10, 4)])
def test_the_sizes_that_the_design_names(
    helpers: int, colluding: int, seeds: int, quorum: int
) -> None:
    group = group_of(helpers, colluding)
    assert (group.seeds, group.quorum) == (seeds, quorum)


@pytest.mark.parametrize(("helpers", "colluding"), GROUPS)
def test_a_quorum_holds_every_seed_and_fewer_lack_one(helpers: int, colluding: int) -> None:
    group = group_of(helpers, colluding)
    for size in range(helpers + 1):
        for answering in combinations(group.helpers, size):
            held = {names for helper in answering for names in group.held_by(helper)}
            assert (
                (held == set(group.sets())) == (size >= group.quorum) == group.can_open(answering)
            )


@pytest.mark.parametrize(("helpers", "colluding"), GROUPS)
def test_two_openings_always_share_an_honest_helper(helpers: int, colluding: int) -> None:
    group = group_of(helpers, colluding)
    quorums = list(combinations(group.helpers, group.quorum))
    fewest = min(len(set(one) & set(other)) for one in quorums for other in quorums)
    assert fewest > colluding


@pytest.mark.parametrize(("helpers", "colluding"), GROUPS)
def test_those_who_collude_lack_a_seed(helpers: int, colluding: int) -> None:
    group = group_of(helpers, colluding)
    for dishonest in combinations(group.helpers, colluding):
        held = {names for helper in dishonest for names in group.held_by(helper)}
        assert set(group.sets()) - held


@pytest.mark.parametrize(("helpers", "colluding"), GROUPS)
def test_a_seed_has_an_honest_holder_in_groups_that_say_so(helpers: int, colluding: int) -> None:
    group = group_of(helpers, colluding)
    alone = any(
        set(group.holders(names)) <= set(dishonest)
        for names in group.sets()
        for dishonest in combinations(group.helpers, colluding)
    )
    assert group.checkable is not alone
    assert group.checkable is ((helpers, colluding) in CHECKABLE)


@pytest.mark.parametrize(
    ("helpers", "colluding", "said"),
    [
        (3, 1, "3 helpers; 4 to 7"),
        (8, 1, "8 helpers; 4 to 7"),
        (4, 0, "at most 3 may have to"),
        (4, 2, "4 would have to answer; at most 3"),
        (5, 3, "5 would have to answer; at most 4"),
    ],
)
def test_a_group_that_cannot_keep_its_promise_is_refused(
    helpers: int, colluding: int, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        group_of(helpers, colluding)


def test_helpers_stand_once_and_in_order() -> None:
    with pytest.raises(ConfigError, match="ascending order, or one stands twice"):
        HelperGroup(helpers=("b", "a", "c", "d"))
    with pytest.raises(ConfigError, match="ascending order, or one stands twice"):
        HelperGroup(helpers=("a", "a", "c", "d"))
    with pytest.raises(ConfigError, match="is not one of the helpers"):
        group_of().held_by("stranger")


def test_the_page_says_what_the_code_does() -> None:
    page = (Path(__file__).parents[3] / "docs" / "secure-sums.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)  # noqa: S102 - our own page
    pattern = r"^\| (\d) \| (\d) \| (\d+) \| (\d) \| (\d) \| (yes|no) \|$"
    rows = re.findall(pattern, page, re.MULTILINE)
    assert len(rows) == 5
    for helpers, colluding, seeds, quorum, holders, seen in rows:
        group = group_of(int(helpers), int(colluding))
        assert (group.seeds, group.quorum) == (int(seeds), int(quorum))
        assert len(group.holders(group.sets()[0])) == int(holders)
        assert group.checkable is (seen == "yes")
