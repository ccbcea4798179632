"""The attacks by name."""

from hyperfed.errors import AggregationError
from hyperfed.testing.attackers.alie import LittleIsEnough
from hyperfed.testing.attackers.attack import Attack
from hyperfed.testing.attackers.collusion import Collusion
from hyperfed.testing.attackers.gaussian import Gaussian
from hyperfed.testing.attackers.inner_product import InnerProduct
from hyperfed.testing.attackers.mimic import Mimic
from hyperfed.testing.attackers.min_max import MinMax
from hyperfed.testing.attackers.min_sum import MinSum
from hyperfed.testing.attackers.not_a_number import NotANumber
from hyperfed.testing.attackers.omission import Omission
from hyperfed.testing.attackers.rare_edges import RareEdges
from hyperfed.testing.attackers.reversal import EdgeReversal
from hyperfed.testing.attackers.scaling import Scaling
from hyperfed.testing.attackers.sign_flip import SignFlip

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
)
ATTACKS: dict[str, type[Attack]] = {kind.name: kind for kind in _KINDS}


def build_attack(name: str, *, quiet: bool = False) -> Attack:
    """The attack of that name with its own parameters; quiet: by liars that do not shout. Raises AggregationError for an unknown one."""
    if name not in ATTACKS:
        raise AggregationError(f"unknown attack {name!r:.80}", subject="simulation", remedy=f"One of {', '.join(ATTACKS)} is needed")
    return ATTACKS[name](quiet=quiet)
