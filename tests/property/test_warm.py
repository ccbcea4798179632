"""What is loaded ahead is what a round's merge calls: nothing is compiled, or loaded, for the merge itself."""

import numpy as np
import pytest

from hyperfed.aggregation.bounded_trust import trust_of
from hyperfed.coordinator.warm import load_soon
from hyperfed.merge import compiled
from hyperfed.merge.electorate import PairElectorate
from hyperfed.merge.ranges import Merge
from hyperfed.merge.rows import MergeRule
from hyperfed.merge.spool import Spool
from hyperfed.tables import EdgeTable

pytest.importorskip("numba", reason="the extra `compiled` is not installed")
pytestmark = pytest.mark.slow  # compiles once on a machine


def signatures() -> dict[str, int]:
    """Of each kernel, for how many combinations of types it is there."""
    kernels = compiled.machine_code(compiled.ROWS)
    return {name: len(found) for name, kernel in vars(kernels).items() if (found := getattr(kernel, "signatures", None)) is not None}


def test_a_rounds_merge_finds_everything_loaded() -> None:
    load_soon().join(110)
    before = signatures()
    assert sum(before.values()) >= 3
    rng = np.random.default_rng(1)
    spool = Spool(expected=5)
    for _ in range(5):
        pairs = np.sort(rng.choice(300 * 300, 30_000, replace=False))
        effect = rng.normal(size=len(pairs)).astype(np.float32)
        columns = {name: rng.random(len(pairs)).astype(np.float32) for name in ("confidence", "stability")}
        spool.add(
            EdgeTable(
                source=(pairs // 300).astype(np.uint32),
                target=(pairs % 300).astype(np.uint32),
                lag=np.ones(len(pairs), np.uint16),
                effect=effect,
                ci_low=effect - np.float32(0.1),
                ci_high=effect + np.float32(0.1),
                hits=np.ones(len(pairs), np.uint32),
                n=np.full(len(pairs), 9, np.uint64),
                **columns,
            )
        )
    ranges = spool.ranges(range(5), PairElectorate([np.arange(300, dtype=np.uint32)] * 5))
    trust = trust_of(ranges)
    merged = [*ranges.map(Merge(rule=MergeRule(strategy="consensus", vote_min=0.0, bounded=True, rule="bounded-trust", f=0), weight=trust.weight))]
    spool.close()
    assert sum(len(part["keys"]) for part in merged) > 50_000
    assert signatures() == before
