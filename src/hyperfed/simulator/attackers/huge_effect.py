"""Send what the data say, but an effect of 1e16 for the strongest edge.

On edge tables the liar votes like an honest client, so that no rule that looks at votes finds it.
Where a sum was centred on the first client's effect, one such liar destroyed the pooled effect of
all others.

Source: this project (ADR 0078).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.simulator.attackers.attack import Attack

__all__ = ["HugeEffect"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeEffect(Attack):
    """Attacks by a "huge effect"."""

    name: ClassVar[str] = "huge-effect"

    effect: float = 1e16
    """The size of the effect that is claimed."""

    def vectors(self, honest: Floats, own_effects: Floats, rng: np.random.Generator) -> Floats:
        sent = own_effects.copy()
        mean = honest.mean(axis=0)
        at = int(np.argmax(np.abs(mean)))
        sent[:, at] = self.effect * (1.0 if mean[at] >= 0 else -1.0)
        return sent
