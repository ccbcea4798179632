"""Check section [policy] of a hyperfed.toml as it is read, so that a wrong file is refused at once.

What it does not do: it does not open the file that `knowledge` names. Whoever opens rounds does.
"""

from collections.abc import Mapping
from typing import Any

from hyperfed.errors import ConfigError, HyperfedError

__all__ = ["check_policy", "read_sums"]


def read_sums(value: Any, what: str, subject: str) -> dict[str, Any]:
    """Return the fields of `SumsPolicy` that a table states. Raises ConfigError."""
    if not isinstance(value, Mapping) or not all(
        isinstance(item, int | float | str) for item in value.values()
    ):
        raise ConfigError(
            f"{what} must be a table of numbers and texts",
            subject=subject,
            remedy='Write it as statistics = { engine = "pc", alpha = 0.01 }',
        )
    return dict(value)


def check_policy(values: Mapping[str, Any], *, subject: str) -> None:
    """Raise ConfigError where the policy pack refuses a value.

    values: the settings of the section, by name with "policy." before it.
    """
    from hyperfed.packets import PolicyPack, SumsPolicy  # imports numpy, so only where needed

    fields = {name.removeprefix("policy."): value for name, value in values.items()}
    fields.pop("knowledge", None)
    try:
        if "statistics" in fields:
            unknown = set(fields["statistics"]) - set(SumsPolicy.__dataclass_fields__)
            if unknown:
                raise ConfigError(
                    f"statistics names {min(unknown)!r:.80}, which is unknown",
                    subject=subject,
                    remedy=f"Use only {', '.join(SumsPolicy.__dataclass_fields__)}",
                )
            fields["statistics"] = SumsPolicy(**fields["statistics"])
        PolicyPack(**fields)
    except HyperfedError as exc:
        raise ConfigError(
            exc.problem, subject=f"{subject}: [policy]", rule=exc.rule, remedy=exc.remedy
        ) from exc
