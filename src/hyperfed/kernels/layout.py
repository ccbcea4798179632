"""Hold what the loops and numpy share: the layout of a record, and numbers of the merge."""

import numpy as np

__all__ = [
    "FLOATS",
    "LEAST_ESTIMATES",
    "LEAST_WIDTH",
    "MOST_WIDTH",
    "NARROW",
    "NOTHING",
    "ROUNDED",
    "SILENT",
    "UP",
    "WIDE",
    "Z95",
]

FLOATS = ("effect", "confidence", "stability", "ci_low", "ci_high")


NARROW, WIDE = (
    np.dtype([("key", "<u8"), ("n", "<u8"), *((name, kind) for name in FLOATS), ("hits", "<u4")])
    for kind in ("<f4", "<f8")
)


LEAST_ESTIMATES = 5  # with fewer of a key, none of them is an outlier


NOTHING = 2.0**-1000  # more than `coded` moves a number that has fewer digits, being so small


ROUNDED = 1e-6  # of a number: more than `coded` moves it


LEAST_WIDTH, MOST_WIDTH = 2.0**-350, 2.0**120


UP = 2.0**900  # times the largest effect, it is still a number


SILENT = 1e-250  # summed votes below it are too small to weigh by


# half the width of a 95 % interval of the normal distribution, in standard errors
Z95 = 1.959963984540054
