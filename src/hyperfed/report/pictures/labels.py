"""Shorten names that a picture has no room for (`distinct_labels`).

1. A name that fits stays as it is. One that does not fit loses its middle, because names of
   variables often share a beginning (`blood_pressure_systolic`, `blood_pressure_diastolic`).
2. Where that makes names look alike, the cut moves to where they differ, at the same place for all
   of them.
3. Where no cut distinguishes them, they are numbered in alphabetical order.

What it does not do: make names visible (`wording.visible`) or escape them (each renderer).
"""

from collections.abc import Iterator, Sequence
from itertools import count, pairwise, takewhile

__all__ = ["distinct_labels"]

_DOTS = "\u2026"
_AROUND = 3  # characters shown before the place where names differ


def distinct_labels(names: Sequence[str], width: int) -> list[str]:
    """Return a label of at most `width` characters for each name.

    Different names have different labels. The labels do not depend on the order of `names`. `width`
    is at least 8.
    """
    labels = {name: name for name in names if len(name) <= width}
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names) - set(labels)):
        groups.setdefault(_without_middle(name, width), []).append(name)
    used_labels = set(labels.values()) | {
        label for label, group in groups.items() if len(group) == 1
    }
    for label, group in groups.items():
        if len(group) == 1 and label not in labels:
            labels[group[0]] = label
            continue
        chosen = next(c for c in _candidates(group, width) if len({*c} - used_labels) == len(group))
        labels |= zip(group, chosen, strict=True)
        used_labels.update(chosen)
    return [labels[name] for name in names]


def _without_middle(name: str, width: int) -> str:
    return _cut(name, width // 2, width)


def _cut(name: str, head: int, width: int) -> str:
    """Return the first `head` characters, an ellipsis, and as many of the last as fit."""
    tail = width - 1 - head
    return name[:head] + _DOTS + (name[-tail:] if tail else "")


def _candidates(group: Sequence[str], width: int) -> Iterator[list[str]]:
    """Yield labels for names that look alike without their middle, the cut nearest to it first."""
    middle = width // 2
    for head in sorted(range(1, width), key=lambda h: (abs(h - middle), h)):
        yield [_cut(name, head, width) for name in group]
    # The names differ somewhere in their middle: show their beginning and that place.
    parting = max((_shared(*pair) for pair in pairwise(group)), default=0)
    head = width // 3
    room = width - head - 2
    for start in (parting - _AROUND, parting):
        if start > head:
            yield [f"{name[:head]}{_DOTS}{name[start : start + room]}{_DOTS}" for name in group]
    for number in count(1):
        marks = [f"{_DOTS}{number + i}" for i in range(len(group))]
        yield [name[: width - len(mark)] + mark for name, mark in zip(group, marks, strict=True)]


def _shared(a: str, b: str) -> int:
    """Return the number of characters that both names begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
