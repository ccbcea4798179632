"""Bound what blocks and parameters may say, by a file on the worker's own machine (R-140).

Blocks, deployments and parameters lie on a Prefect server, and whoever may use it can change them.
HYPERFED_WORKER names a hyperfed.toml that they cannot: `hyperfed service worker` sets it. It bounds
the following in a run that a deployment starts.

1. The drop-box: address, endpoint, certificates and fingerprint of the block are those of the file.
   A key that opens updates is therefore never used for another federation's drop-box.
2. The coordinator's key file is that of the file.
3. Files that parameters name lie below `[worker] folder`, by default the file's own folder, with
   links followed. Relative paths start there.
4. Engines of a user's own, MODULE:FACTORY, are code. They are refused unless `[data] engine` or
   `[worker] engines` names them.
5. A run overrides only fields of the policy that decide how updates are merged, or those that
   `[worker] overrides` names. `[worker] policy` bounds what new plans say, whoever says it: a
   value, or the smallest and the largest.
6. A round that is asked for by its number lies at most `[worker] rounds_back` windows back.

A run that a deployment starts is refused without the file: it came from the server, and nothing
here bounds it. A flow that is called as a function, and `hyperfed round run`, are the user's own
and have no bounds.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prefect import runtime

from hyperfed.client.settings import Settings, load_settings
from hyperfed.errors import AccessDenied, ConfigError
from hyperfed.packets import PolicyPack

__all__ = ["MERGING", "VARIABLE", "Bounds", "bounds"]

VARIABLE = "HYPERFED_WORKER"
"""The environment variable that names the worker's hyperfed.toml."""
MERGING = frozenset(
    (
        *("vote_min", "cut", "fdr_max", "rule", "f", "weigh_by"),
        *("trust_min", "trust_nights", "max_staleness", "staleness_decay"),
        *("organisation_cap", "group_weights", "minimum_groups", "influence_cap"),
    )
)
"""The fields of the policy pack that decide how updates are merged, not what clients send."""
_ROUNDS_BACK = 32


@dataclass(frozen=True, slots=True)
class Bounds:
    """Holds what a run may say."""

    settings: Settings | None
    """The worker's settings; None where nothing is bounded."""

    def check_box(
        self, *, url: str, endpoint: str | None, ca_file: str | None, fingerprint: str
    ) -> None:
        """Raise AccessDenied where the block Drop-Box names another drop-box or federation."""
        if self.settings is None:
            return
        for name, said, ours in (
            ("url", url, self.settings.need("store.url")),
            ("endpoint", endpoint or None, self.settings.text("store.endpoint")),
            ("ca_file", ca_file or None, self.settings.text("store.ca_file")),
            ("fingerprint", fingerprint, self.settings.need_fingerprint()),
        ):
            if said != ours:
                raise self._refused("block Drop-Box", f"{name} is {said!r:.120}, not {ours!r:.120}")

    def check_key_file(self, path: Path) -> None:
        """Raise AccessDenied where the block Coordinator Keys names another file."""
        if self.settings is not None:
            ours = Path(self.settings.need("coordinator.key"))
            if path.resolve() != ours.resolve():
                raise self._refused("block Coordinator Keys", f"key_file is not {ours}")

    def file(self, parameter: str, path: str) -> Path:
        """Return the path that a parameter names. Raises AccessDenied outside the folder."""
        if self.settings is None:
            return Path(path)
        folder = (self.settings.file("worker.folder") or self.settings.base).resolve()
        named = (folder / path).resolve()
        if not named.is_relative_to(folder):
            raise self._refused(f"parameter {parameter}", f"{path!r:.120} leads out of {folder}")
        return named

    def engine(self, name: str) -> str:
        """Return an engine's name. Raises AccessDenied for code that no owner named."""
        if self.settings is not None and ":" in name:
            ours = {self.settings.text("data.engine"), *self.settings.names("worker.engines")}
            if name not in ours:
                raise self._refused("parameter engine", f"{name!r:.120} is code of somebody's own")
        return name

    def source(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is given about a source, with its files and engine within the bounds.

        Raises AccessDenied for a file or an engine outside them.
        """
        checked: dict[str, Any] = {
            name: self.file(name, str(given[name])) for name in ("file", "edges") if name in given
        }
        if "engine" in given:
            checked["engine"] = self.engine(given["engine"])
        return {**given, **checked}

    def check_overrides(self, overrides: Mapping[str, Any] | None) -> None:
        """Raise AccessDenied for a field of the policy that no run may override."""
        if self.settings is None:
            return
        allowed = self.settings.names("worker.overrides") or MERGING
        for name in sorted(overrides or {}):
            if name not in allowed:
                raise self._refused("parameter policy_overrides", f"{name} is not to be overridden")

    def check_policy(self, pack: PolicyPack) -> None:
        """Raise AccessDenied where a policy for new plans is outside of [worker] policy."""
        if self.settings is None:
            return
        for name, bound in (self.settings.values.get("worker.policy") or {}).items():
            said = getattr(pack, name)
            if isinstance(bound, tuple) and name != "lags":
                good = bound[0] <= said <= bound[1]
            else:
                good = said == getattr(replace(pack, **{name: bound}), name)
            if not good:
                raise self._refused("block Federation Policy", f"{name} is {said!s:.60}")

    def check_round(self, wanted: int | None, newest: int) -> None:
        """Raise AccessDenied for a round that lies too far back, or has not begun."""
        if self.settings is None or wanted is None:
            return
        back = self.settings.whole("worker.rounds_back") or _ROUNDS_BACK
        if not newest - back <= wanted <= newest + 1:
            raise self._refused(
                "parameter round_id", f"{wanted} is not within {back} rounds of round {newest}"
            )

    def _refused(self, subject: str, problem: str) -> AccessDenied:
        file = self.settings.path if self.settings else VARIABLE
        return AccessDenied(
            f"{problem}; this worker does not do that for whoever uses the Prefect server",
            subject=subject,
            rule="R-140",
            remedy=f"What it may do stands in {file}: [store], [federation], [coordinator] and "
            "[worker]. Where that file is right, look who changed the server's blocks or this run",
        )


def bounds(*, deployed: bool | None = None) -> Bounds:
    """Return the bounds of this process.

    deployed: whether the run came from a deployment; None: as Prefect says of this process. Raises
    ConfigError where a deployment's run has none, and for a file that cannot be read.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Bounds(load_settings(Path(named)))
    if runtime.deployment.id is not None if deployed is None else deployed:
        raise ConfigError(
            "this run came from a Prefect server, and nothing on this machine bounds it",
            subject=VARIABLE,
            rule="R-140",
            remedy="Start the worker with `hyperfed service worker`, or let the variable name the "
            "hyperfed.toml that bounds its runs",
        )
    return Bounds(None)
