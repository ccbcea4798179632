"""`FederationPolicy`: what the next plans will say. A plan that exists is never changed by it."""

from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import Field

from hyperfed.packets import PolicyPack
from hyperfed.vocabulary import Variable, Vocabulary

__all__ = ["FederationPolicy"]


class FederationPolicy(Block):
    """What: the policy pack, the vocabulary and the quorum of the rounds to come."""

    _block_type_name: ClassVar[str] = "Hyperfed Federation Policy"
    _block_type_slug: ClassVar[str] = "hyperfed-federation-policy"

    variables: list[str] = Field(default_factory=list, description="The vocabulary: the variables' names, in the order that indices refer to")
    domains: list[str] = Field(default_factory=list, description="The variables' domains, one each; empty: none")
    vocabulary_version: int = Field(default=1, description="Raise it with every change of the variables")
    quorum: int | None = Field(default=None, description="How many clients must be counted; empty: more than half")
    aggregation_delay_s: float = Field(default=1800.0, description="How long stragglers are awaited after the window's end, in seconds")
    poll_s: float = Field(default=30.0, description="How often the inbox is looked at meanwhile, in seconds")
    policy: dict[str, Any] = Field(default_factory=dict, description="Fields of hyperfed.PolicyPack that differ from its defaults, such as {'vote_min': 0.25}")

    def pack(self) -> PolicyPack:
        """The policy pack. Raises BoundsError for a value, TypeError for a field that it does not know."""
        return PolicyPack(**self.policy)

    def vocabulary(self) -> Vocabulary:
        """The vocabulary. Raises BoundsError where names repeat."""
        domains = self.domains or [""] * len(self.variables)
        return Vocabulary(tuple(Variable(n, d) for n, d in zip(self.variables, domains, strict=True)), self.vocabulary_version)
