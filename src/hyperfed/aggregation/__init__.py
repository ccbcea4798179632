"""How many clients' contributions become one: one rule a file. Robust rules carry no privacy label (DESIGN section 6)."""

from hyperfed.aggregation.bounded_trust import Trust, bounded_trust, bounded_trust_dense, trust_weights

__all__ = ["Trust", "bounded_trust", "bounded_trust_dense", "trust_weights"]
