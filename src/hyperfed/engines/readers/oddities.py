"""Report values that look like a code for "missing": -9, -99, -999, 9999, far outside the rest.

1. A code is the smallest or largest value of a column. One made of nines is named where it lies
   further from its neighbour than all others spread; any other where it repeats, and lies three
   times as far.
2. Where one is found, the next is looked for behind it: files use several.

What it does not do: it does not take them out, since a value that is rare may be right. `--missing`
does.
"""

from collections.abc import Sequence

import numpy as np

from hyperfed.engines.readers.sheet import Floats

__all__ = ["notes_on_codes"]

_NINES = {9.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0}
_FEWEST = 8  # values below which nothing is far from the rest
_MOST_CODES = 4
_FAR = 3.0


def notes_on_codes(names: Sequence[str], values: Floats) -> tuple[str, ...]:
    """Return a note for each column of float64[rows, names] with values that look like codes."""
    notes = []
    for name, column in zip(names, values.T, strict=True):
        codes = _codes(column[~np.isnan(column)])
        if codes:
            code_list = " and ".join(f"{value:g} ({count} times)" for value, count in codes)
            option = ",".join(f"{value:g}" for value, _ in codes)
            notes.append(
                f"column {name!r:.80} holds {code_list}, far outside the rest: if that means "
                f"missing, give --missing {option}"
            )
    return tuple(notes)


def _codes(column: Floats) -> list[tuple[float, int]]:
    """Return the values that look like codes, each with how often it occurs."""
    if len(column) < _FEWEST:
        return []
    low, high = float(column.min()), float(column.max())
    # Most columns are as wide as their middle half suggests, and need no sorting.
    quarter, three = np.quantile(column, (0.25, 0.75))
    if max(quarter - low, high - three) <= three - quarter:
        return []
    distinct, counts = np.unique(column, return_counts=True)
    codes: list[tuple[float, int]] = []
    while len(distinct) > 3 and len(codes) < _MOST_CODES:
        ends = [(0, distinct[1] - distinct[0], distinct[-1] - distinct[1])]
        ends += [(-1, distinct[-1] - distinct[-2], distinct[-2] - distinct[0])]
        at, _ = max(
            ((end, gap / max(spread, 1e-300)) for end, gap, spread in ends), key=lambda one: one[1]
        )
        gap, spread = next((gap, spread) for end, gap, spread in ends if end == at)
        value, count = float(distinct[at]), int(counts[at])
        nines = abs(value) in _NINES and gap > spread
        if not nines and not (count > 1 and gap > _FAR * spread):
            break
        codes.append((value, count))
        keep = slice(1, None) if at == 0 else slice(None, -1)
        distinct, counts = distinct[keep], counts[keep]
    return codes
