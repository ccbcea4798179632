"""Send what one honest client sends, the one farthest from the honest mean.

The copies make it look as if that client's oddity were the rule.

Source: Karimireddy, He & Jaggi 2022, arXiv:2006.09365, section 3.2.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["Mimic"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mimic(Attack):
    """Attacks by "mimic"."""

    name: ClassVar[str] = "mimic"

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        far = int(np.argmax(((honest - honest.mean(axis=0)) ** 2).sum(axis=1)))
        return np.tile(honest[far], (len(own_effects), 1))
