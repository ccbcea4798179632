"""List the attacks by name."""

from hyperfed.errors import AggregationError
from hyperfed.simulator.attackers.alie import LittleIsEnough
from hyperfed.simulator.attackers.attack import Attack
from hyperfed.simulator.attackers.collusion import Collusion
from hyperfed.simulator.attackers.gaussian import Gaussian
from hyperfed.simulator.attackers.huge_effect import HugeEffect
from hyperfed.simulator.attackers.inner_product import InnerProduct
from hyperfed.simulator.attackers.mimic import Mimic
from hyperfed.simulator.attackers.min_max import MinMax
from hyperfed.simulator.attackers.min_sum import MinSum
from hyperfed.simulator.attackers.not_a_number import NotANumber
from hyperfed.simulator.attackers.omission import Omission
from hyperfed.simulator.attackers.rare_edges import RareEdges
from hyperfed.simulator.attackers.reversal import EdgeReversal
from hyperfed.simulator.attackers.scaling import Scaling
from hyperfed.simulator.attackers.sign_flip import SignFlip
from hyperfed.simulator.attackers.tiny_interval import TinyInterval

__all__ = ["ATTACKS", "build_attack"]

_KINDS: tuple[type[Attack], ...] = (
    SignFlip,
    Scaling,
    Gaussian,
    LittleIsEnough,
    InnerProduct,
    Mimic,
    MinMax,
    MinSum,
    RareEdges,
    EdgeReversal,
    Omission,
    NotANumber,
    Collusion,
    HugeEffect,
    TinyInterval,
)
ATTACKS: dict[str, type[Attack]] = {kind.name: kind for kind in _KINDS}
"""Each attack's class, by its name."""


def build_attack(name: str, *, quiet: bool = False) -> Attack:
    """Return the attack of that name, with its default parameters.

    `quiet` says whether the liars vote no louder than others. Raises AggregationError for an
    unknown name.
    """
    if name not in ATTACKS:
        raise AggregationError(
            f"unknown attack {name!r:.80}",
            subject="simulation",
            remedy=f"Choose one of {', '.join(ATTACKS)}",
        )
    return ATTACKS[name](quiet=quiet)
