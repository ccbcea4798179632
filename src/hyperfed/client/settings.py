"""Read `hyperfed.toml`: where the drop-box is, who this client is, and which keys it holds.

    [store]        url = "s3://bucket/prefix"   endpoint   region   addressing   ca_file
                   access_key_file
                   or: links = "first-links.hfl"
    [federation]   fingerprint = "64 hexadecimal digits, compared out of band"
    [client]       id   key   memory   record_bound = 0.02
    [data]         file = "series.csv"   time, or: series = true   columns   lags   bootstraps
                   seed   engine   intervened
                   or: edges   measured   lags
                   every   fill_gaps   missing   delimiter   decimal   unit   convert
    [sharing]      never = ["name"]   smallest_n   most_edges   digits
    [coordinator]  key
    [rounds]       variables = ["output", "employment"]   domains   units   ranges
                   vocabulary_version   quorum   aggregation_delay_s   poll_s
    [policy]       lags = [1, 2]   vote_min = 0.25, or any other field of the policy pack
                   knowledge = "knowledge.toml"
                   payload = "statistics"   statistics = { engine = "var" }
    [worker]       folder   overrides = ["vote_min"]   policy = { privacy = "central" }
                   rounds_back   engines = ["module:factory"]
    [root]         keys = ["..."]

1. The file is looked for in this order: --config, $HYPERFED_CONFIG, ./hyperfed.toml,
   ~/.config/hyperfed/hyperfed.toml. Options override it.
2. Relative paths in it are relative to the file's own folder; those in options, to the working
   directory.
3. An unknown section or name is an error: a misspelt fingerprint must not mean "not checked".
4. A coordinator without a Prefect server opens rounds by [rounds] and [policy]. With a server, the
   Federation Policy block takes their place, and they are not read. [worker] bounds what blocks and
   parameters of that server may say.

What it does not do: it holds no secrets. It names the files that do.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperfed.client.policy_settings import check_policy, read_sums
from hyperfed.errors import ConfigError
from hyperfed.storage.private_files import from_home

__all__ = ["ENVIRONMENT_VARIABLE", "Settings", "check_fingerprint", "find_config", "load_settings"]

ENVIRONMENT_VARIABLE = "HYPERFED_CONFIG"
_NAME = "hyperfed.toml"
_KINDS: dict[str, dict[str, str]] = {
    "store": {
        "url": "text",
        "endpoint": "text",
        "region": "text",
        "addressing": "text",
        "ca_file": "path",
        "access_key_file": "path",
        "links": "path",
    },
    "federation": {"fingerprint": "text"},
    "client": {"id": "text", "key": "path", "memory": "path", "record_bound": "number"},
    "data": {
        "file": "path",
        "edges": "path",
        "engine": "text",
        "columns": "names",
        "measured": "names",
        "intervened": "names",
        "time": "text",
        "series": "flag",
        "every": "text",
        "fill_gaps": "text",
        "delimiter": "text",
        "decimal": "text",
        "missing": "markers",
        "unit": "pairs",
        "convert": "pairs",
        "lags": "lags",
        "bootstraps": "whole",
        "seed": "whole",
    },
    "sharing": {
        "never": "names",
        "smallest_n": "whole",
        "most_edges": "whole",
        "digits": "whole",
    },
    "coordinator": {"key": "path"},
    "rounds": {
        "variables": "names",
        "domains": "names",
        "units": "pairs",
        "ranges": "ranges",
        "vocabulary_version": "whole",
        "quorum": "whole",
        "aggregation_delay_s": "seconds",
        "poll_s": "number",
    },
    "policy": {},  # the fields of the policy pack (`_names_of`)
    "worker": {
        "folder": "path",
        "overrides": "names",
        "policy": "bounds",
        "rounds_back": "whole",
        "engines": "names",
    },
    "root": {"keys": "paths"},
}
_OPTIONS = {
    "store.url": "--store URL",
    "federation.fingerprint": "--fingerprint",
    "client.id": "--client-id",
    "client.key": "--key",
    "coordinator.key": "--keys FILE",
}


def _names_of(section: str) -> Mapping[str, str]:
    """Return the names that a section may hold, each with the kind of its value."""
    if section != "policy":
        return _KINDS[section]
    from hyperfed.packets import PolicyPack  # imports numpy, so only where needed

    return dict.fromkeys(PolicyPack.__dataclass_fields__, "scalar") | {
        "lags": "lags",
        "knowledge": "path",
        "statistics": "sums",
    }


def check_fingerprint(text: str, *, subject: str) -> str:
    """Return the 64 hexadecimal digits of a fingerprint, in lower case.

    Blanks, colons and hyphens between them are allowed, as people write them down. Raises
    ConfigError.
    """
    digits = "".join(c for c in text.lower() if c not in " \t:-")
    if len(digits) != 64 or any(c not in "0123456789abcdef" for c in digits):
        raise ConfigError(
            "a fingerprint has 64 hexadecimal digits",
            subject=subject,
            remedy="Ask the operator for it on another channel; `hyperfed registry show` prints it",
        )
    return digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Holds what was configured."""

    path: Path | None
    """The configuration file, or None where there is none."""
    base: Path
    """The folder that relative paths start from."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The values, by "section.name"."""

    def text(self, name: str) -> str | None:
        """Return a setting as text, or None where it is not set."""
        value = self.values.get(name)
        return None if value is None else str(value)

    def file(self, name: str) -> Path | None:
        """Return a setting that is a path, or None where it is not set."""
        return self.values.get(name)

    def files(self, name: str) -> tuple[Path, ...]:
        """Return a setting that is a list of paths; empty where it is not set."""
        return tuple(self.values.get(name, ()))

    def number(self, name: str) -> float | None:
        """Return a setting that is a number, or None where it is not set."""
        return self.values.get(name)

    def names(self, name: str) -> tuple[str, ...]:
        """Return a setting that is a list of names; empty where it is not set."""
        return tuple(self.values.get(name, ()))

    def whole(self, name: str) -> int | None:
        """Return a setting that is a whole number, or None where it is not set."""
        return self.values.get(name)

    def section(self, name: str) -> dict[str, Any]:
        """Return what a section holds, by name."""
        start = f"{name}."
        values = self.values.items()
        return {key.removeprefix(start): value for key, value in values if key.startswith(start)}

    def need(self, name: str) -> Any:
        """Return a setting that the command cannot do without.

        Raises ConfigError, which says where to set it, where it is not set.
        """
        value = self.values.get(name)
        if value is None:
            section, _, key = name.partition(".")
            where = (
                str(self.path)
                if self.path
                else f"{_NAME} (none was found here or in ~/.config/hyperfed)"
            )
            option = f"Give {_OPTIONS[name]}, or write" if name in _OPTIONS else "Write"
            raise ConfigError(
                f"[{section}] {key} is not set",
                subject=where,
                remedy=f"{option} it into section [{section}]",
            )
        return value

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the registry's roots, or None where it is not set."""
        return self.text("federation.fingerprint")

    def need_fingerprint(self) -> str:
        """Return the fingerprint, which a client must have compared before it believes a drop-box.

        Raises ConfigError where it is not set.
        """
        if self.fingerprint is None:
            raise ConfigError(
                "[federation] fingerprint is not set, so nothing says whose registry this is",
                subject=str(self.path or _NAME),
                rule="R-24",
                remedy="Ask the operator for the root fingerprint on another channel and write "
                "it into section [federation]",
            )
        return self.fingerprint

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Settings":
        """Return the settings with `overrides`, given as options, in place of their own values.

        Raises ConfigError where a value is refused.
        """
        return Settings(
            path=self.path,
            base=self.base,
            values={**self.values, **_checked(overrides, subject="option")},
        )


def find_config(
    named_file: Path | None,
    *,
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Path | None:
    """Return the configuration file to read, or None where there is none.

    Raises ConfigError where a file was named that does not exist.
    """
    env = os.environ if environment is None else environment
    named = named_file or (
        Path(env[ENVIRONMENT_VARIABLE]) if env.get(ENVIRONMENT_VARIABLE) else None
    )
    if named is not None:
        if not named.is_file():
            raise ConfigError(
                "a folder is no configuration file"
                if named.is_dir()
                else "no such configuration file",
                subject=str(named),
                remedy=f"Check --config and ${ENVIRONMENT_VARIABLE}; `hyperfed --help` says "
                "what it holds",
            )
        return named
    candidates = [
        Path.cwd() / _NAME,
        (home or Path(env.get("HOME") or "/nonexistent")) / ".config" / "hyperfed" / _NAME,
    ]
    return next((path for path in candidates if path.is_file()), None)


def load_settings(path: Path | None) -> Settings:
    """Return the settings in the file `path`; without a file, there are none.

    Raises ConfigError, which names the file and the key.
    """
    if path is None:
        return Settings(path=None, base=Path.cwd())
    subject = str(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", subject=subject) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"is not TOML: {exc}",
            subject=subject,
            remedy='Write lines like: url = "file:///srv/drop-box"',
        ) from exc
    base = path.resolve().parent
    values: dict[str, Any] = {}
    for section, entries in document.items():
        _refuse_unknown(section, _KINDS, f"section [{section}]", subject)
        if not isinstance(entries, dict):
            raise ConfigError(
                f"[{section}] must be a section",
                subject=subject,
                remedy=f"Write [{section}] on a line of its own",
            )
        for name, value in entries.items():
            kinds = _names_of(section)
            _refuse_unknown(name, kinds, f"[{section}] {name}", subject)
            values[f"{section}.{name}"] = _read(
                value, kinds[name], f"[{section}] {name}", subject, base
            )
    return Settings(path=path, base=base, values=_checked(values, subject=subject))


def _refuse_unknown(name: str, known_names: Mapping[str, Any], what: str, subject: str) -> None:
    """Raise ConfigError for an unknown section or name, with the closest known one as a hint."""
    if name not in known_names:
        close = difflib.get_close_matches(name, known_names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There may be: {', '.join(known_names)}"
        raise ConfigError(f"{what} is unknown", subject=subject, remedy=hint)


def _read(value: Any, kind: str, what: str, subject: str, base: Path) -> Any:
    """Return a value checked against its kind, with paths made absolute. Raises ConfigError."""
    key = what.split()[-1]
    if kind == "paths":
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise ConfigError(
                f"{what} must be a list of paths",
                subject=subject,
                remedy='Write it as keys = ["root-1.key"]',
            )
        return tuple(base / from_home(item, subject=f"{subject}: {what}") for item in value)
    if kind == "names":
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(item, str) and item for item in value)
        ):
            raise ConfigError(
                f"{what} must be a list of names",
                subject=subject,
                remedy=f'Write it as {key} = ["output", "employment"]',
            )
        return tuple(value)
    if kind == "lags":
        if not isinstance(value, list) or not all(
            type(item) is int and item >= 0 for item in value
        ):
            raise ConfigError(
                f"{what} must be a list of whole numbers",
                subject=subject,
                remedy=f"Write it as {key} = [1, 2]",
            )
        return tuple(value)
    if kind == "sums":
        return read_sums(value, what, subject)
    if kind == "bounds":
        return _read_bounds(value, what, subject)
    if kind in ("markers", "pairs", "ranges"):
        return _read_several(value, kind, what, subject)
    if kind == "flag":
        if not isinstance(value, bool):
            raise ConfigError(
                f"{what} must be true or false",
                subject=subject,
                remedy="Write it without quotes: series = true",
            )
        return value
    if kind == "whole":
        if type(value) is not int or value < (0 if what.endswith("seed") else 1):
            raise ConfigError(
                f"{what} must be a whole number above 0",
                subject=subject,
                remedy=f"Write it without quotes: {key} = 2",
            )
        return value
    if kind in ("number", "seconds"):
        zero = kind == "seconds" and value == 0
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not (zero or 0 < value < float("inf"))
        ):
            raise ConfigError(
                f"{what} must be a number {'of at least' if kind == 'seconds' else 'above'} 0",
                subject=subject,
                remedy=f"Write it without quotes: {key} = {0.02 if kind == 'number' else 900}",
            )
        return float(value)
    if kind == "scalar":
        if not isinstance(value, bool | int | float | str):
            raise ConfigError(
                f"{what} must be a number, a text, true or false",
                subject=subject,
                remedy="See hyperfed.PolicyPack for what each field may be",
            )
        return value
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{what} must be a text in quotes", subject=subject)
    return base / from_home(value, subject=f"{subject}: {what}") if kind == "path" else value


def _read_bounds(value: Any, what: str, subject: str) -> dict[str, Any]:
    """Return fields of the policy pack, each with a value or its two ends. Raises ConfigError."""
    policy_names, values = _names_of("policy"), value if isinstance(value, Mapping) else {}
    for name, bound in values.items():
        _refuse_unknown(name, policy_names, f"{what}.{name}", subject)
        ends = isinstance(bound, list) and len(bound) == 2 and name != "lags"
        numbers = bound if isinstance(bound, list) else [0]
        if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers) or (
            isinstance(bound, list) and not ends and name != "lags"
        ):
            values = {}
    if not values:
        raise ConfigError(
            f"{what} must give a value or two numbers by the name of a field",
            subject=subject,
            remedy="Write it as policy = { sealed = true, vote_min = [0.2, 0.5] }, two numbers "
            "where a field may lie between them",
        )
    return {
        name: tuple(bound) if isinstance(bound, list) else bound for name, bound in values.items()
    }


def _read_several(value: Any, kind: str, what: str, subject: str) -> Any:
    """Return a list of markers, or a table of texts or ranges, checked. Raises ConfigError."""
    key = what.split()[-1]

    def number(item: Any) -> bool:
        return isinstance(item, int | float) and not isinstance(item, bool)

    if kind == "markers":
        if (
            isinstance(value, list)
            and value
            and all(isinstance(v, str) or number(v) for v in value)
        ):
            return tuple(str(item) for item in value)
        raise ConfigError(
            f"{what} must be a list of texts or numbers",
            subject=subject,
            remedy=f'Write it as {key} = [-999, "refused"]',
        )
    items: Any = value.items() if isinstance(value, Mapping) and value else [("", None)]
    if kind == "pairs":
        if all(isinstance(item, str) or number(item) for _, item in items):
            return {name: str(item) for name, item in items}
        remedy = (
            f'Write it as {key} = {{ output = "{"EUR" if key.startswith("unit") else "1000"}" }}'
        )
        raise ConfigError(f"{what} must give a text by name", subject=subject, remedy=remedy)
    if all(
        isinstance(item, list) and len(item) == 2 and all(map(number, item)) for _, item in items
    ):
        return {name: (float(item[0]), float(item[1])) for name, item in items}
    raise ConfigError(
        f"{what} must give two numbers by name",
        subject=subject,
        remedy=f"Write it as {key} = {{ output = [0, 1e6] }}, the smallest and the largest that "
        "are plausible",
    )


def _checked(values: Mapping[str, Any], *, subject: str) -> dict[str, Any]:
    """Return the values with fingerprint, client id and policy checked. Raises ConfigError."""
    checked = dict(values)
    if "federation.fingerprint" in checked:
        checked["federation.fingerprint"] = check_fingerprint(
            checked["federation.fingerprint"], subject=f"{subject}: [federation] fingerprint"
        )
    if "client.id" in checked:
        from hyperfed.registry.windows import check_client_id

        try:
            check_client_id(checked["client.id"])
        except ConfigError as exc:
            raise ConfigError(
                f"{exc.problem}: {exc.subject}",
                subject=f"{subject}: [client] id",
                rule=exc.rule,
                remedy=exc.remedy,
            ) from None
    policy = {name: value for name, value in checked.items() if name.startswith("policy.")}
    if policy:
        check_policy(policy, subject=subject)
    return checked
