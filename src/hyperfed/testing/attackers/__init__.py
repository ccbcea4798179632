"""Attacks on a merge, one a file: what liars that know everything send. For tests and for `hyperfed simulate`."""

from hyperfed.testing.attackers.attack import Attack
from hyperfed.testing.attackers.catalogue import ATTACKS, build_attack

__all__ = ["ATTACKS", "Attack", "build_attack"]
