"""`hyperfed.toml`: where the drop-box is, who this is, and which keys it holds.

    [store]        url = "s3://bucket/prefix"   endpoint   region   access_key_file, or: links = "first-links.hfl"
    [federation]   fingerprint = "64 hexadecimal digits, compared out of band"
    [client]       id   key   memory   record_bound = 0.02
    [coordinator]  key
    [root]         keys = ["..."]

1. Looked for in this order: --config, $HYPERFED_CONFIG, ./hyperfed.toml, ~/.config/hyperfed/hyperfed.toml. Options override it.
2. Relative paths in it are relative to the file's own folder; those in options to the working directory.
3. An unknown section or name is an error: a misspelt fingerprint must not mean "not checked".

What it does not do: hold secrets. It names files that do.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperfed.errors import ConfigError

__all__ = ["ENVIRONMENT_VARIABLE", "Settings", "check_fingerprint", "find_config", "load_settings"]

ENVIRONMENT_VARIABLE = "HYPERFED_CONFIG"
_NAME = "hyperfed.toml"
_KINDS: dict[str, dict[str, str]] = {
    "store": {"url": "text", "endpoint": "text", "region": "text", "access_key_file": "path", "links": "path"},
    "federation": {"fingerprint": "text"},
    "client": {"id": "text", "key": "path", "memory": "path", "record_bound": "number"},
    "coordinator": {"key": "path"},
    "root": {"keys": "paths"},
}
_OPTIONS = {
    "store.url": "--store URL",
    "federation.fingerprint": "--fingerprint",
    "client.id": "--client-id",
    "client.key": "--key",
    "coordinator.key": "--coordinator-key",
}


def check_fingerprint(text: str, *, subject: str) -> str:
    """64 lower-case hexadecimal digits; blanks, colons and hyphens between them are allowed, as people write them down. Raises ConfigError."""
    digits = "".join(c for c in text.lower() if c not in " \t:-")
    if len(digits) != 64 or any(c not in "0123456789abcdef" for c in digits):
        raise ConfigError(
            "a fingerprint has 64 hexadecimal digits", subject=subject, remedy="Ask the operator for it on another channel; `hyperfed registry show` prints it"
        )
    return digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was configured. path: the file, None where there is none; base: the folder its relative paths start from; values: by "section.name"."""

    path: Path | None
    base: Path
    values: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return None if value is None else str(value)

    def file(self, name: str) -> Path | None:
        return self.values.get(name)

    def files(self, name: str) -> tuple[Path, ...]:
        return tuple(self.values.get(name, ()))

    def number(self, name: str) -> float | None:
        return self.values.get(name)

    def need(self, name: str) -> Any:
        """The value of a setting this command cannot do without. Raises ConfigError saying where to put it."""
        value = self.values.get(name)
        if value is None:
            section, _, key = name.partition(".")
            where = str(self.path) if self.path else f"{_NAME} (none was found here or in ~/.config/hyperfed)"
            option = f"Give {_OPTIONS[name]}, or write" if name in _OPTIONS else "Write"
            raise ConfigError(f"[{section}] {key} is not set", subject=where, remedy=f"{option} it into section [{section}]")
        return value

    @property
    def fingerprint(self) -> str | None:
        return self.text("federation.fingerprint")

    def need_fingerprint(self) -> str:
        """What a client must have compared before it believes a drop-box. Raises ConfigError."""
        if self.fingerprint is None:
            raise ConfigError(
                "[federation] fingerprint is not set, so nothing says whose registry this is",
                subject=str(self.path or _NAME),
                rule="R-24",
                remedy="Ask the operator for the root fingerprint on another channel and write it into section [federation]",
            )
        return self.fingerprint

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Settings":
        """The settings with what was given as options."""
        return Settings(path=self.path, base=self.base, values={**self.values, **_checked(overrides, subject="option")})


def find_config(given: Path | None, *, environment: Mapping[str, str] | None = None, home: Path | None = None) -> Path | None:
    """The configuration file to read, or None. One that was named must exist. Raises ConfigError."""
    env = os.environ if environment is None else environment
    named = given or (Path(env[ENVIRONMENT_VARIABLE]) if env.get(ENVIRONMENT_VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            raise ConfigError(
                "no such configuration file", subject=str(named), remedy=f"Check --config and ${ENVIRONMENT_VARIABLE}; `hyperfed --help` says what it holds"
            )
        return named
    candidates = [Path.cwd() / _NAME, (home or Path(env.get("HOME") or "/nonexistent")) / ".config" / "hyperfed" / _NAME]
    return next((path for path in candidates if path.is_file()), None)


def load_settings(path: Path | None) -> Settings:
    """The settings in `path`; without a file, none. Raises ConfigError naming file and key."""
    if path is None:
        return Settings(path=None, base=Path.cwd())
    subject = str(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", subject=subject) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"is not TOML: {exc}", subject=subject, remedy='A line looks like: url = "file:///srv/drop-box"') from exc
    base = path.resolve().parent
    values: dict[str, Any] = {}
    for section, entries in document.items():
        _refuse_unknown(section, _KINDS, f"section [{section}]", subject)
        if not isinstance(entries, dict):
            raise ConfigError(f"[{section}] must be a section", subject=subject, remedy=f"Write [{section}] on a line of its own")
        for name, value in entries.items():
            _refuse_unknown(name, _KINDS[section], f"[{section}] {name}", subject)
            values[f"{section}.{name}"] = _read(value, _KINDS[section][name], f"[{section}] {name}", subject, base)
    return Settings(path=path, base=base, values=_checked(values, subject=subject))


def _refuse_unknown(name: str, known: Mapping[str, Any], what: str, subject: str) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There may be: {', '.join(known)}"
        raise ConfigError(f"{what} is unknown", subject=subject, remedy=hint)


def _read(value: Any, kind: str, what: str, subject: str, base: Path) -> Any:
    if kind == "paths":
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise ConfigError(f"{what} must be a list of paths", subject=subject, remedy='Write it as keys = ["root-1.key"]')
        return tuple(base / Path(item).expanduser() for item in value)
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ConfigError(f"{what} must be a number above 0", subject=subject, remedy="Write it without quotes: record_bound = 0.02")
        return float(value)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{what} must be a text in quotes", subject=subject)
    return base / Path(value).expanduser() if kind == "path" else value


def _checked(values: Mapping[str, Any], *, subject: str) -> dict[str, Any]:
    checked = dict(values)
    if "federation.fingerprint" in checked:
        checked["federation.fingerprint"] = check_fingerprint(checked["federation.fingerprint"], subject=f"{subject}: [federation] fingerprint")
    if "client.id" in checked:
        from hyperfed.rounds import check_client_id

        try:
            check_client_id(checked["client.id"])
        except ConfigError as exc:
            raise ConfigError(f"{exc.problem}: {exc.subject}", subject=f"{subject}: [client] id", rule=exc.rule, remedy=exc.remedy) from None
    return checked
