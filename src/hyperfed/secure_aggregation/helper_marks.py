"""Keep what a helper has answered, so that it never answers what could be subtracted.

1. A helper answers one manifest a round. The same manifest again gets the same answer; another one
   is refused, and the reason names the first.
2. A message is thereby summed in one manifest ever, whatever became of the round: a manifest sums
   only messages whose header names its round (`opening.add_masks`).
3. The classes of clients that all openings leave stay large enough (`registry.blocks`, rule 4),
   without noise and with central noise, before which the coordinator sees the sum. An opening with
   noise in shares counts among none of them: what it reveals is charged.
4. Beside its own answers it keeps the cohorts that the ledger has reserved, by digest of the freeze
   (R-212): others may have opened them. They are public, and are read again where they are lost.
5. Rounds before `first_round` are not answered. A helper whose marks are lost is named anew; its
   new registry entry says from which round on it may answer. An empty file is there before the
   first key is, so that a lost one is noticed. A copy that is put back is not noticed, where the
   bucket hides what was answered since.
6. A mark is on disk before an answer leaves. A crash in between costs nothing: the same manifest is
   answered again.
"""

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperfed.errors import ConfigError, RefusedError
from hyperfed.registry.blocks import smallest_class
from hyperfed.secure_aggregation.opening import Manifest
from hyperfed.storage.local_files import alone_with, write_durably

__all__ = ["HelperMarks", "OpenedManifest", "ReservedCohort"]

_REMEDY = "Nothing was answered; give the helper a place it can write to"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedManifest:
    """Remembers one manifest that was answered."""

    round: int
    """Its round."""
    digest: bytes
    """Its digest, 32 bytes."""
    cohorts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The clients of each payload, in ascending order."""
    noised: bool = False
    """Whether the sums that were opened had noise in shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedCohort:
    """Remembers one freeze that the ledger has reserved, whoever has answered it."""

    round: int
    """Its round."""
    freeze: bytes
    """The digest of the freeze, 32 bytes."""
    clients: tuple[str, ...] = ()
    """Whose sum without noise may have been opened, in ascending order; nobody's where it is ().
    """


class HelperMarks:
    """Keeps a helper's answers in the file `path`, or in this process only where `path` is None."""

    def __init__(self, path: Path | None = None, *, first_round: int = 1) -> None:
        self.path = path
        self.first_round = first_round
        self.federation = ""
        self.opened: tuple[OpenedManifest, ...] = ()
        self.reserved: dict[bytes, ReservedCohort] = {}
        if path is not None and path.exists():
            self.opened = self._load(path)

    @property
    def begun(self) -> bool:
        """Whether the record is there; the one of this process cannot get lost."""
        return self.path is None or self.path.exists()

    def begin(self, federation: str) -> None:
        """Create an empty record of a federation's rounds, before the helper's first key, or go on.

        Raises ConfigError where the record is of another federation: their rounds have one number.
        """
        if self.federation not in ("", federation):
            raise ConfigError(
                f"holds what this helper has answered in {self.federation}, not in {federation}",
                subject=str(self.path or "marks"),
                remedy="Nothing was done. Give the helper of each federation a key file of its own",
            )
        self.federation = federation
        if self.path is None or self.path.exists():
            return
        with alone_with(self.path, error=ConfigError, remedy=_REMEDY):
            if not self.path.exists():
                self._write(())

    def _write(self, opened: tuple[OpenedManifest, ...]) -> None:
        if self.path is not None:
            text = _dumped(self.federation, opened, tuple(self.reserved.values()))
            write_durably(self.path, text, error=ConfigError, remedy=_REMEDY)

    def remember(self, cohorts: Sequence[ReservedCohort]) -> None:
        """Keep cohorts that the ledger has reserved, so that nobody reads them again."""
        if not cohorts:
            return
        if self.path is None:
            self.reserved |= {one.freeze: one for one in cohorts}
            return
        with alone_with(self.path, error=ConfigError, remedy=_REMEDY):
            if self.path.exists():
                self.opened = self._load(self.path)
            self.reserved |= {one.freeze: one for one in cohorts}
            self._write(self.opened)

    def allow(
        self,
        manifest: Manifest,
        *,
        organisation_of: Mapping[str, str] | None = None,
        placed: AbstractSet[str] | None = None,
        smallest: int = 0,
    ) -> None:
        """Note that `manifest` is answered, on disk before this returns.

        `organisation_of`, `placed` (the clients of the present blocks) and `smallest` (k + m) are
        given for rounds without noise, where classes are looked at; without them the sums have
        noise. Raises RefusedError with the
        earlier cohort as the reason; then nothing is noted.
        """
        if self.path is None:
            self._allow(manifest, organisation_of, placed, smallest)
            return
        with alone_with(self.path, error=ConfigError, remedy=_REMEDY):
            if self.path.exists():
                self.opened = self._load(self.path)
            self._allow(manifest, organisation_of, placed, smallest)

    def _allow(
        self,
        manifest: Manifest,
        organisation_of: Mapping[str, str] | None,
        placed: AbstractSet[str] | None,
        smallest: int,
    ) -> None:
        if manifest.digest in [opened.digest for opened in self.opened]:
            return
        self._check_rounds(manifest)
        cohorts = {cohort.payload: tuple(sorted(cohort.messages)) for cohort in manifest.cohorts}
        if organisation_of is not None:
            before = [
                set(names)
                for opened in self.opened
                if not opened.noised
                for names in opened.cohorts.values()
            ]
            before += [set(one.clients) for one in self.reserved.values() if one.clients]
            size, clients = smallest_class(
                before + [set(names) for names in cohorts.values()], organisation_of, placed=placed
            )
            self._check_class(manifest, clients, size, smallest)
        new = OpenedManifest(
            round=manifest.round,
            digest=manifest.digest,
            cohorts=cohorts,
            noised=organisation_of is None,
        )
        opened = (*self.opened, new)
        self._write(opened)
        self.opened = opened

    def _check_rounds(self, manifest: Manifest) -> None:
        """Raise RefusedError unless the round is new here, and may be answered at all."""
        subject = f"manifest of round {manifest.round}"
        if manifest.round < self.first_round:
            raise RefusedError(
                f"this helper answers from round {self.first_round} on", subject=subject
            )
        for opened in self.opened:
            if opened.round == manifest.round:
                raise RefusedError(
                    f"another manifest of this round, {opened.digest.hex()[:16]}, was answered for "
                    f"{_list(opened)}",
                    subject=subject,
                    remedy="Void this round, and open the next: a round's sum is opened once",
                )

    def _check_class(
        self, manifest: Manifest, clients: tuple[str, ...], size: int, smallest: int
    ) -> None:
        """Raise RefusedError where sums could be subtracted down to a small class."""
        if size < smallest:
            others = {_list(opened): opened.round for opened in self.opened if not opened.noised}
            seen = {names for opened in self.opened for names in opened.cohorts.values()}
            others |= {
                f"(reserved) {', '.join(one.clients)}": one.round
                for one in self.reserved.values()
                if one.clients and one.clients not in seen
            }
            before = "; ".join(f"in round {number} {names}" for names, number in others.items())
            raise RefusedError(
                f"with the sums opened before, {', '.join(clients)} could be told apart: "
                f"{size} organisations, and {smallest} are needed. Opened were "
                f"{before or 'none'}",
                subject=f"manifest of round {manifest.round}",
                remedy="Freeze only complete blocks of the registry, and keep the blocks",
            )

    def _load(self, path: Path) -> tuple[OpenedManifest, ...]:
        """Return what the file holds. Raises ConfigError where it holds something else."""
        try:
            stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.federation = str(stored.get("federation", ""))
            reserved = [
                ReservedCohort(
                    round=int(entry["round"]),
                    freeze=bytes.fromhex(entry["freeze"]),
                    clients=tuple(map(str, entry["clients"])),
                )
                for entry in stored.get("reserved", [])
            ]
            self.reserved |= {one.freeze: one for one in reserved}
            return tuple(
                OpenedManifest(
                    round=int(entry["round"]),
                    digest=bytes.fromhex(entry["digest"]),
                    cohorts={
                        str(payload): tuple(map(str, names))
                        for payload, names in entry["cohorts"].items()
                    },
                    noised=entry.get("noised", False) is True,
                )
                for entry in stored["opened"]
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
            raise ConfigError(
                "is not what a helper's marks look like",
                subject=str(path),
                remedy="Move it away, and have the roots name this helper anew, from a round to "
                "come: it cannot know what it has answered. Nor does an older copy",
            ) from exc


def _list(opened: OpenedManifest) -> str:
    return "; ".join(
        f"{payload}: {', '.join(names)}" for payload, names in sorted(opened.cohorts.items())
    )


def _dumped(
    federation: str, opened: Sequence[OpenedManifest], reserved: Sequence[ReservedCohort]
) -> str:
    entries = [
        {
            "round": manifest.round,
            "digest": manifest.digest.hex(),
            "cohorts": {name: list(clients) for name, clients in manifest.cohorts.items()},
            "noised": manifest.noised,
        }
        for manifest in opened
    ]
    kept = [
        {"round": one.round, "freeze": one.freeze.hex(), "clients": list(one.clients)}
        for one in reserved
    ]
    stored = {"federation": federation, "opened": entries, "reserved": kept}
    return json.dumps(stored, indent=1) + "\n"
