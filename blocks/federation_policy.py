"""Define the block `FederationPolicy`: what the next plans will say.

A plan that exists is never changed by it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from blocks.bounds import bounds
from blocks.strict import StrictBlock
from hyperfed.coordinator.opening import RoundTerms, overridden

__all__ = ["FederationPolicy"]


class FederationPolicy(StrictBlock):
    """Holds the policy pack, the vocabulary and the quorum of the rounds to come."""

    _block_type_name: ClassVar[str] = "Hyperfed Federation Policy"
    _block_type_slug: ClassVar[str] = "hyperfed-federation-policy"

    variables: list[str] = Field(
        default_factory=list,
        description="The vocabulary: the variables' names, in the order that indices refer to",
    )
    domains: list[str] = Field(
        default_factory=list, description="The variables' domains, one each; empty: none"
    )
    units: dict[str, str] = Field(
        default_factory=dict,
        description="The unit that all clients count a variable in, by name: {'output': 'EUR'}",
    )
    ranges: dict[str, list[float | None]] = Field(
        default_factory=dict,
        description="The smallest and the largest plausible value of a variable, in its unit, by "
        "name: {'output': [0, 1000000]}; clients compare their data with it before they send",
    )
    vocabulary_version: int = Field(
        default=1, description="Raise it with every change of the variables"
    )
    quorum: int | None = Field(
        default=None, description="How many clients must be counted; empty: more than half"
    )
    aggregation_delay_s: float = Field(
        default=1800.0,
        ge=0,
        allow_inf_nan=False,
        description="How long stragglers are awaited after the window's end, in seconds",
    )
    poll_s: float = Field(
        default=30.0,
        ge=0,
        allow_inf_nan=False,
        description="How often the inbox is looked at meanwhile, in seconds",
    )
    policy: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of hyperfed.PolicyPack that differ from its defaults, such as "
        "{'vote_min': 0.25}",
    )

    def terms(self, overrides: Mapping[str, Any] | None = None) -> RoundTerms:
        """Return what the next plans will say, with a run's overrides of the policy pack.

        Raises what `RoundTerms.of` raises, ConfigError for an override that names no field, and
        AccessDenied for what the worker does not allow (R-140).
        """
        limits = bounds()
        limits.check_overrides(overrides)
        terms = RoundTerms.of(
            variables=self.variables,
            domains=self.domains,
            units=self.units,
            ranges=self.ranges,
            vocabulary_version=self.vocabulary_version,
            quorum=self.quorum,
            policy=self.policy,
        )
        limits.check_policy(overridden(terms.policy, overrides))
        return terms
