"""Cohorts of complete blocks, and classes that stay large."""

import pytest

from hyperfed.errors import ConfigError
from hyperfed.secure_aggregation import check_blocks, complete_blocks, smallest_class

ORGANISATIONS = {f"c{i}": f"org-{i}" for i in range(1, 9)}
BLOCKS = [("c1", "c2", "c3", "c4"), ("c5", "c6", "c7", "c8")]


def test_a_cohort_is_a_union_of_complete_blocks() -> None:
    cohort = complete_blocks(BLOCKS, set(ORGANISATIONS) - {"c6"})
    assert cohort.clients == ("c1", "c2", "c3", "c4")
    assert cohort.left_out == {"c5": ("c6",), "c7": ("c6",), "c8": ("c6",)}
    assert complete_blocks(BLOCKS, set(ORGANISATIONS)).left_out == {}


def test_blocks_hold_every_client_once_and_enough_organisations() -> None:
    check_blocks(BLOCKS, ORGANISATIONS, smallest=4)
    with pytest.raises(ConfigError, match="block 1: has 4 organisations; 5 are needed"):
        check_blocks(BLOCKS, ORGANISATIONS, smallest=5)
    with pytest.raises(ConfigError, match="c5: is in no block, as are 3 others"):
        check_blocks(BLOCKS[:1], ORGANISATIONS, smallest=4)
    with pytest.raises(ConfigError, match="c1 in block 2: stands in two blocks"):
        check_blocks([BLOCKS[0], ("c1", *BLOCKS[1])], ORGANISATIONS, smallest=4)
    with pytest.raises(ConfigError, match="ghost in block 2"):
        check_blocks([BLOCKS[0], ("ghost", *BLOCKS[1])], ORGANISATIONS, smallest=4)


def test_organisations_count_not_clients() -> None:
    one_house = dict.fromkeys(BLOCKS[0], "org-1") | {c: f"org-{c}" for c in BLOCKS[1]}
    with pytest.raises(ConfigError, match="block 1: has 1 organisations"):
        check_blocks(BLOCKS, one_house, smallest=2)


def test_three_cohorts_that_differ_enough_still_give_one_client_away() -> None:
    """{v} + P + Q, P and Q differ pairwise by three clients or more, and leave v alone."""
    p, q = {"c1", "c2", "c3"}, {"c4", "c5", "c6"}
    cohorts = [{"c7"} | p | q, p, q]
    assert all(len(one ^ other) >= 3 for one in cohorts for other in cohorts if one is not other)
    assert smallest_class(cohorts, ORGANISATIONS) == (1, ("c7",))


def test_nights_of_complete_blocks_keep_their_classes() -> None:
    nights = [{*BLOCKS[0]}, {*BLOCKS[0], *BLOCKS[1]}, {*BLOCKS[1]}]
    assert smallest_class(nights, ORGANISATIONS)[0] == 4
    assert smallest_class([], ORGANISATIONS) == (0, ())


def test_new_names_of_the_same_organisations_leave_nobody_alone() -> None:
    """A leaves; B, C and D enrol again. By names alone the second night's class is as large."""
    organisation_of = {"a": "A", "b": "B", "c": "C", "d": "D", "b2": "B", "c2": "C", "d2": "D"}
    nights, again = [{"a", "b", "c", "d"}], {"b2", "c2", "d2"}
    assert smallest_class([*nights, again], organisation_of) == (3, ("b2", "c2", "d2"))
    assert smallest_class([*nights, again], organisation_of, placed=again) == (1, ("a",))
    # a helper's client in the new block, which hides nobody, is no new name of whoever left
    gone = {**organisation_of, "a": "", "h": ""}
    assert smallest_class([*nights, {*again, "h"}], gone, placed={*again, "h"}) == (0, ("a",))
    # one organisation's clients in two blocks of today are two
    houses = {"a1": "A", "b": "B", "c": "C", "a2": "A", "d": "D", "e": "E"}
    blocks = [{"a1", "b", "c"}, {"a2", "d", "e"}]
    assert smallest_class(blocks, houses, placed=set(houses))[0] == 3
