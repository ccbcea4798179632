"""Say which library an engine on sums runs in, so that plans can state it and audits check it.

1. A plan states the library with its version (`SumsPolicy.version`). Another version may find
   another graph: a coordinator or auditor that has another one refuses, and says which is needed.
2. Hyperfed's own engine states none: what it computes changes with the freeze's formula.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hyperfed.errors import AggregationError, ConfigError
from hyperfed.packets import SumsPolicy

__all__ = ["check_version", "engine_version", "sums_policy_of"]

_LIBRARY = "causal-learn"


def engine_version(engine: str) -> str:
    """Return the library and version that an engine runs in here; "" for Hyperfed's own.

    Raises AggregationError where the library is not installed.
    """
    if engine == "var":
        return ""
    try:
        return f"{_LIBRARY} {version(_LIBRARY)}"
    except PackageNotFoundError as exc:
        raise AggregationError(
            f"runs in {_LIBRARY}, which is not installed",
            subject=f"engine {engine} on sums",
            remedy="pip install causal-learn",
        ) from exc


def check_version(engine: str, stated: str) -> None:
    """Raise AggregationError where a plan states another version than the one that is here."""
    here = engine_version(engine)
    if stated and stated != here:
        raise AggregationError(
            f"the plan was signed for {stated}, and here is {here or 'no library'}",
            subject=f"engine {engine} on sums",
            remedy=f"Install {stated}, so that the same graph is found",
        )


def sums_policy_of(said: SumsPolicy | Mapping[str, Any]) -> SumsPolicy:
    """Return what a plan says of sums, with the version of its engine filled in.

    said: itself, or its fields by name. Raises ConfigError for an unknown field, BoundsError for a
    value out of its bounds, AggregationError where the engine's library is not installed.
    """
    if isinstance(said, SumsPolicy):
        policy = said
    else:
        known = [field.name for field in fields(SumsPolicy)]
        if unknown := sorted(set(said) - set(known)):
            raise ConfigError(
                f"{unknown[0]!r:.80} is unknown",
                subject="[policy] statistics",
                remedy=f"Use only {', '.join(known)}",
            )
        policy = SumsPolicy(**said)
    return policy if policy.version else replace(policy, version=engine_version(policy.engine))
