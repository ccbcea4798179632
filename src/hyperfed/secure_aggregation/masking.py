"""Mask a client's numbers: what it sends looks like noise until q helpers open the cohort's sum.

1. The client draws a fresh seed for each set of helpers, from the system's source.
2. It sends its numbers plus the masks of all seeds, modulo 2^64, and the seeds in boxes.
3. Whoever lacks one seed sees numbers that are uniform and independent of what the client holds.
4. The seeds are erased once the message is written; the client never needs them again.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hyperfed.registry.helper_group import HelperGroup
from hyperfed.secure_aggregation.boxes import SealedSeeds, Seeds, seal_seeds
from hyperfed.secure_aggregation.streams import SEED_BYTES, MaskContext, Words, mask

__all__ = ["MaskedMessage", "draw_seeds", "mask_message", "masked"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskedMessage:
    """Holds one client's masked numbers and the seeds for the helpers."""

    context: MaskContext
    """What the masks are bound to."""
    values: Words
    """The masked numbers, uint64[n]."""
    sealed: SealedSeeds
    """Boxes, commitments and the keys that stay with the client."""


def draw_seeds(
    group: HelperGroup, *, random_bytes: Callable[[int], bytes] = os.urandom
) -> dict[tuple[str, ...], bytes]:
    """Return a fresh seed for each set of helpers."""
    return {names: random_bytes(SEED_BYTES) for names in group.sets()}


def masked(values: Words, seeds: Seeds, context: MaskContext) -> Words:
    """Return `values` plus the mask of every seed, modulo 2^64, as uint64[n]."""
    total = values.copy()
    for names, seed in seeds.items():
        np.add(total, mask(seed, context, names, len(values)), out=total)
    return total


def mask_message(
    values: Words,
    group: HelperGroup,
    helper_keys: Mapping[str, bytes],
    context: MaskContext,
    *,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> MaskedMessage:
    """Return what a client sends for `values`, uint64[n].

    `helper_keys` are the helpers' public keys of this round. Raises RefusedError where fewer than q
    have one; nothing is sent then.
    """
    seeds = draw_seeds(group, random_bytes=random_bytes)
    sealed = seal_seeds(seeds, group, helper_keys, context)
    return MaskedMessage(context=context, values=masked(values, seeds, context), sealed=sealed)
