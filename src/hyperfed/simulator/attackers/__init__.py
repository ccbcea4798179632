"""Attack a merge: each file says what liars that know everything send.

The attacks are for tests and for `hyperfed simulate`.
"""

from hyperfed.simulator.attackers.attack import Attack
from hyperfed.simulator.attackers.catalogue import ATTACKS, build_attack

__all__ = ["ATTACKS", "Attack", "build_attack"]
