"""What t helpers, the coordinator and the bucket hold together, compared for two sets of inputs.

The masks of seeds that colluders lack are key streams, which nobody tells from uniform numbers, and
commitments and foreign boxes hide their seeds. What is proved here is the rest, exactly: with
uniform streams in their place, what colluders hold depends on the sum alone.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations, product

import numpy as np
import pytest

from hyperfed.secure_aggregation import HelperGroup, MaskContext, add_masks, masking, opening
from hyperfed.secure_aggregation.helpers import HelperSet
from hyperfed.secure_aggregation.masking import draw_seeds, masked
from hyperfed.secure_aggregation.streams import Words, mask
from tests.unit.secure_aggregation.sums import SecureRound, group_of

Streams = Mapping[tuple[str, HelperSet], Words]
View = Sequence[Words]
CLIENTS = ("ward-1", "ward-2")


def _hidden(group: HelperGroup, colluders: Sequence[str]) -> list[HelperSet]:
    """The sets whose seed none of the colluders is given."""
    given = {names for helper in colluders for names in group.held_by(helper)}
    return [names for names in group.sets() if names not in given]


@cache
def _round(group: HelperGroup) -> SecureRound:
    return SecureRound(group, CLIENTS, length=1)


def _every_stream(group: HelperGroup, colluders: Sequence[str]) -> Streams:
    """All values modulo 2 of all hidden streams at once: position j is the j-th night."""
    keys = list(product(CLIENTS, _hidden(group, colluders)))
    nights = np.arange(2 ** len(keys), dtype=np.uint64)
    return {key: nights >> np.uint64(i) & np.uint64(1) for i, key in enumerate(keys)}


def _view(
    group: HelperGroup, colluders: Sequence[str], inputs: Mapping[str, int], *, opened: bool
) -> tuple[View, int]:
    """What the colluders hold in every possible night, by the code that clients and helpers run.

    The streams of seeds that they hold are the same in all nights: 0. Returns a row for each number
    seen, and how many nights there are.
    """
    streams = _every_stream(group, colluders)
    nights = 2 ** (len(CLIENTS) * len(_hidden(group, colluders)))

    def given(seed: bytes, context: MaskContext, names: HelperSet, length: int) -> Words:
        return streams.get((context.client, names), np.zeros(nights, dtype=np.uint64))

    round_ = _round(group)
    round_.length = nights
    contexts = {client: round_.context(client) for client in CLIENTS}
    seeds = {names: bytes(32) for names in group.sets()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "mask", given)
        patch.setattr(opening, "mask", given)
        rows = [
            masked(np.full(nights, inputs[client], dtype=np.uint64), seeds, contexts[client])
            for client in CLIENTS
        ]
        for helper in group.helpers if opened else ():
            held = {client: {n: seeds[n] for n in group.held_by(helper)} for client in CLIENTS}
            answer = add_masks(round_.manifest(), "statistics", helper, group, held, contexts)
            rows += list(answer.sums.values())
    return rows, nights


def _distribution(view: View) -> Counter[bytes]:
    """How often each outcome occurs among all nights, modulo 2."""
    columns = (np.array(view) % 2).astype(np.uint8).T
    return Counter(column.tobytes() for column in columns)


def _colluders() -> Iterator[tuple[HelperGroup, tuple[str, ...]]]:
    """Every t helpers of three groups, and every q - 1, which is the most that learn nothing."""
    for helpers, colluding in ((4, 1), (5, 1), (5, 2)):
        group = group_of(helpers, colluding)
        for size in sorted({colluding, group.quorum - 1}):
            yield from ((group, names) for names in combinations(group.helpers, size))


@pytest.mark.parametrize("opened", [False, True])
def test_other_inputs_of_the_same_sum_give_colluders_the_same_distribution(opened: bool) -> None:
    """All streams are counted out, so the distributions are compared exactly, not by samples.

    Before the openings even the sum is hidden; with every helper's opening nothing else is shown.
    """
    tried = 0
    for group, colluders in _colluders():
        if len(_hidden(group, colluders)) * len(CLIENTS) > 8:
            continue  # more nights than are needed: 2^12
        one, _ = _view(group, colluders, {"ward-1": 1, "ward-2": 0}, opened=opened)
        two, _ = _view(group, colluders, {"ward-1": 0, "ward-2": 1}, opened=opened)
        other, _ = _view(group, colluders, {"ward-1": 1, "ward-2": 1}, opened=opened)
        assert _distribution(one) == _distribution(two)
        assert (_distribution(one) == _distribution(other)) is not opened  # the sum is what shows
        tried += 1
    assert tried >= 30


def test_one_helper_more_sees_everything() -> None:
    """The honest twin: the comparison tells inputs apart where q helpers hold all seeds."""
    for helpers, colluding in ((4, 1), (5, 2)):
        group = group_of(helpers, colluding)
        for colluders in combinations(group.helpers, group.quorum):
            one, nights = _view(group, colluders, {"ward-1": 1, "ward-2": 0}, opened=False)
            two, _ = _view(group, colluders, {"ward-1": 0, "ward-2": 1}, opened=False)
            assert nights == 1
            assert _distribution(one) != _distribution(two)


@pytest.mark.parametrize(("helpers", "colluding"), [(4, 1), (5, 2), (7, 3)])
def test_real_streams_pass_a_chi_square_where_a_seed_is_missing(
    helpers: int, colluding: int
) -> None:
    """Two clients' messages less all streams that colluders know, beside one opened vector.

    64 cells of two bits each, two very different inputs of one sum; a test of homogeneity with 63
    degrees of freedom. With the seeds of q helpers the same statistic is out of all bounds.
    """
    group, length = group_of(helpers, colluding), 20_000
    round_ = _round(group)
    rng = np.random.default_rng(17)

    def cells(inputs: Sequence[int], known_to: Sequence[str]) -> Words:
        seen, opened = [], np.zeros(length, dtype=np.uint64)
        hidden = _hidden(group, group.helpers[:colluding])[0]
        for client, value in zip(CLIENTS, inputs, strict=True):
            context = round_.context(client)
            seeds = draw_seeds(group, random_bytes=rng.bytes)
            left = masked(np.full(length, value, dtype=np.uint64), seeds, context)
            for names in set(group.sets()) - set(_hidden(group, known_to)):
                left -= mask(seeds[names], context, names, length)
            opened += mask(seeds[hidden], context, hidden, length)
            seen.append(left)
        bits = [words >> np.uint64(62) for words in (*seen, opened)]
        return bits[0] * np.uint64(16) + bits[1] * np.uint64(4) + bits[2]

    def statistic(known_to: Sequence[str]) -> float:
        counts = np.array(
            [
                np.bincount(cells(inputs, known_to).astype(np.int64), minlength=64)
                for inputs in ((2**62, 2**63), (2**63, 2**62))
            ]
        )
        expected = counts.sum(axis=0) / 2
        seen = expected > 0
        return float(((counts - expected) ** 2)[:, seen].sum(axis=0) @ (1 / expected[seen]))

    bound = 63 + 5 * np.sqrt(2 * 63)
    assert statistic(group.helpers[:colluding]) < bound
    assert statistic(group.helpers[: group.quorum - 1]) < bound
    assert statistic(group.helpers[: group.quorum]) > 100 * bound
