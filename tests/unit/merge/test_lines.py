"""Blocks of lines hold each row once, in client order, and sum as a plain loop over rows does."""

import numpy as np
import pytest

from hyperfed.merge.lines import blocks_of, line_sum, line_sums_without

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("share", [1.0, 0.7, 0.05])
@pytest.mark.parametrize("cells", [16, 1 << 17])
def test_every_row_lies_in_one_line_in_client_order(share: float, cells: int) -> None:
    rng = np.random.default_rng(3)
    clients, keys = 23, 40
    client, segment = np.nonzero(rng.random((clients, keys)) < share)
    seen = np.zeros(len(segment), dtype=int)
    for block in blocks_of(segment, keys, cells=cells):
        assert (np.diff(block.there.astype(int), axis=0) <= 0).all()  # what is missing is last
        for column, key in enumerate(block.keys.tolist()):
            rows = block.at[block.there[:, column], column]
            assert (segment[rows] == key).all()
            assert (np.diff(client[rows]) > 0).all()
            seen[rows] += 1
        counts = block.there.sum(axis=0)
        assert block.full == counts.min()
        assert len(block.at) <= max(block.full, block.full * 5 // 4)
        gathered = block.gather(segment + 1.0)
        assert (gathered[~block.there] == 0).all()
    assert (seen == 1).all()


def test_sums_add_in_client_order_and_leave_one_out_without_subtracting() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(9, 30)) * 10.0 ** rng.integers(-8, 8, (9, 30))
    values[4] = 1e200  # a difference would lose everything beside it
    plain = [np.cumsum(values[:, k])[-1] for k in range(30)]
    assert np.array_equal(line_sum(values), plain)
    without = line_sums_without(values)
    for i in range(9):
        rest = np.delete(values, i, axis=0).sum(axis=0)
        np.testing.assert_allclose(without[i], rest, rtol=1e-9)


def test_many_rows_of_few_keys_sum_to_the_bytes_of_few_rows_of_many_keys() -> None:
    """Blocks differ in shape from range to range, and a result must not show which was summed."""
    rng = np.random.default_rng(5)
    tall = rng.normal(size=(200, 5)) * 10.0 ** rng.integers(-8, 8, (200, 5))
    tall[:, 1] = -0.0
    tall[:150, 2] = -0.0
    tall[17, 3] = 1e200
    wide = np.hstack([tall, rng.normal(size=(200, 300))])
    one_by_one = np.zeros(305)
    for row in wide:
        one_by_one += row
    for keys in (1, 2, 3, 4, 5, 8, 16, 31, 32, 33, 64, 305):
        assert line_sum(wide[:, :keys]).tobytes() == one_by_one[:keys].tobytes()
    assert line_sum(np.asfortranarray(wide)).tobytes() == one_by_one.tobytes()
    assert line_sum(tall).tobytes() == line_sum(wide)[:5].tobytes()
    assert line_sums_without(tall).tobytes() == line_sums_without(wide)[:, :5].tobytes()
    one = tall[:, :1]
    assert line_sum(one).tobytes() == line_sum(wide)[:1].tobytes()
    assert line_sums_without(one).tobytes() == line_sums_without(wide)[:, :1].tobytes()


def test_no_rows_give_no_block() -> None:
    assert not list(blocks_of(np.zeros(0, np.intp), 5))
