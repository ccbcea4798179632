"""Has the merge's machine code loaded by a thread of its own, while a round's messages are still being judged.

Loading takes a second of one core (import, and what numba does at its first call), and a merge that waits for it leaves every other core idle. What is
loaded is what a round's merge calls, with the types it calls it with: a small merge from a spool is run for that, and its result thrown away.

What it does not do: decide whether machine code is used (`compiled`).
"""

import logging
import threading

import numpy as np

from hyperfed.aggregation.bounded_trust import trust_of
from hyperfed.merge.compiled import FEW, ROWS, machine_code
from hyperfed.merge.electorate import PairElectorate
from hyperfed.merge.ranges import Merge
from hyperfed.merge.rows import MergeRule
from hyperfed.merge.spool import Spool
from hyperfed.tables import EdgeTable

__all__ = ["load_soon"]

_CLIENTS = 3
_VARIABLES = 256

log = logging.getLogger(__name__)


def load_soon() -> threading.Thread:
    """Begin to load what there is to load; without the extra `compiled` that is nothing. The thread may be forgotten."""
    thread = threading.Thread(target=_load, name="hyperfed-warm")
    thread.start()
    return thread


def _load() -> None:
    try:
        if machine_code(ROWS) is not None:
            _merge_a_little()
    except Exception:  # a merge that meets the same fault says so
        log.debug("merge: machine code was not loaded ahead", exc_info=True)


def _merge_a_little() -> None:
    rows = -(-FEW // _CLIENTS)
    pairs = np.arange(rows)
    ones = np.ones(rows, dtype=np.float32)
    table = EdgeTable(
        source=(pairs // _VARIABLES).astype(np.uint32),
        target=(pairs % _VARIABLES).astype(np.uint32),
        lag=np.ones(rows, dtype=np.uint16),
        effect=ones,
        ci_low=ones / 2,
        ci_high=ones * 2,
        confidence=ones,
        stability=ones,
        hits=np.ones(rows, dtype=np.uint32),
        n=np.ones(rows, dtype=np.uint64),
    )
    spool = Spool(expected=_CLIENTS)
    try:
        entries = [spool.add(table) for _ in range(_CLIENTS)]
        ranges = spool.ranges(entries, PairElectorate([np.arange(_VARIABLES, dtype=np.uint32)] * _CLIENTS))
        weight = trust_of(ranges).weight
        for _ in ranges.map(Merge(rule=MergeRule(strategy="consensus", vote_min=0.5, bounded=True, rule="bounded-trust", f=0), weight=weight)):
            pass
    finally:
        spool.close()
