"""Read what is known of a graph from a file, or from another library's objects.

1. A file is TOML, one for a federation:

       tiers = [["age", "sex"], ["smoking"], ["cancer"]]
       forbidden = [["smoking", "sex"]]
       required = [["smoking", "cancer"]]

   or a text file as Tetrad writes it: `/knowledge`, then `addtemporal` with numbered tiers,
   `forbiddirect` and `requiredirect` with one edge a line.
2. What a file or a library says beyond tiers, forbidden and required edges is refused, not ignored:
   patterns of names, tiers whose members may not cause each other, unknown keys.
3. `RoundTerms` puts it into the policy, so that the coordinator signs it with the plan.

Sources: the manual of Tetrad (knowledge files); causal-learn's `BackgroundKnowledge`; pgmpy's
`ExpertKnowledge`; lingam's `make_prior_knowledge`, whose matrix has the target in the row.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError, ConfigError
from hyperfed.packets.knowledge import Knowledge

__all__ = [
    "knowledge_from_causallearn",
    "knowledge_from_lingam",
    "knowledge_from_pgmpy",
    "knowledge_of",
    "read_knowledge",
]

_KEYS = ("tiers", "forbidden", "required")
_SECTIONS = {"forbiddirect": "forbidden", "requiredirect": "required"}


def knowledge_of(said: Knowledge | Mapping[str, Any] | str | os.PathLike[str]) -> Knowledge:
    """Return knowledge as given: itself, its three lists by name, or a file that holds them.

    Raises ConfigError where a file cannot be read or says something else, BoundsError where a list
    contradicts itself.
    """
    if isinstance(said, Knowledge):
        return said
    if isinstance(said, Mapping):
        return _of_lists(said, "knowledge")
    return read_knowledge(said)


def read_knowledge(path: str | os.PathLike[str]) -> Knowledge:
    """Return the knowledge in a file (rule 1 of the module).

    Raises ConfigError, which names the file and the line or key, and BoundsError.
    """
    subject = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"cannot be read: {getattr(exc, 'strerror', None) or exc}",
            subject=subject,
            remedy="Name in [policy] knowledge a file of tiers, forbidden and required edges",
        ) from exc
    if text.lstrip().lower().startswith("/knowledge"):
        return _of_tetrad(text, subject)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(
            f"is not TOML: {exc}",
            subject=subject,
            remedy='Write lines like: forbidden = [["smoking", "sex"]]',
        ) from exc
    return _of_lists(document, subject)


def _of_lists(lists: Mapping[str, Any], subject: str) -> Knowledge:
    """Return knowledge from its three lists by name. Raises ConfigError, BoundsError."""
    unknown = [key for key in lists if key not in _KEYS]
    if unknown:
        raise ConfigError(
            f"{unknown[0]!r:.80} is unknown",
            subject=subject,
            remedy=f"Use only {', '.join(_KEYS)}",
        )
    try:
        return Knowledge(**lists)
    except BoundsError as exc:
        raise BoundsError(exc.problem, subject=subject, remedy=exc.remedy) from exc


def _of_tetrad(text: str, subject: str) -> Knowledge:
    """Return the knowledge of a file as Tetrad writes it. Raises ConfigError, BoundsError."""
    tiers: dict[int, tuple[str, ...]] = {}
    edges: dict[str, list[tuple[str, str]]] = {"forbidden": [], "required": []}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        head = words[0].lower()
        if head in ("/knowledge", "addtemporal", *_SECTIONS):
            section = head
        elif section == "addtemporal" and words[0].isascii() and words[0].isdigit():
            tiers[int(words[0])] = tuple(words[1:])
        elif section in _SECTIONS and len(words) == 2:
            edges[_SECTIONS[section]].append((words[0], words[1]))
        else:
            raise ConfigError(
                f"line {number}: {line.strip()!r:.80} is not understood",
                subject=subject,
                remedy=(
                    "Use addtemporal with numbered tiers, forbiddirect and requiredirect with "
                    "one edge a line; Tetrad's marks at a tier (*, -) are not taken"
                ),
            )
    lists = {"tiers": [tiers[at] for at in sorted(tiers)], **edges}
    return _of_lists(lists, subject)


def knowledge_from_pgmpy(expert: Any) -> Knowledge:
    """Return the knowledge of pgmpy's `ExpertKnowledge`. Raises ConfigError, BoundsError."""
    for name in ("forbidden_edges", "required_edges", "temporal_order"):
        if not hasattr(expert, name):
            raise _other(expert, "pgmpy's ExpertKnowledge", name)
    if getattr(expert, "search_space", None):
        raise ConfigError(
            "has a search space, which is not taken",
            subject="pgmpy's ExpertKnowledge",
            remedy="Name the edges that it leaves out as forbidden edges",
        )
    return Knowledge(
        tiers=tuple(tuple(map(str, tier)) for tier in expert.temporal_order or ()),
        forbidden=_named(expert.forbidden_edges or ()),
        required=_named(expert.required_edges or ()),
    )


def knowledge_from_causallearn(background: Any) -> Knowledge:
    """Return the knowledge of causal-learn's `BackgroundKnowledge`.

    Raises ConfigError where it has patterns, or tiers within which nothing may cause, and
    BoundsError.
    """
    for name in ("forbidden_rules_specs", "required_rules_specs", "tier_map"):
        if not hasattr(background, name):
            raise _other(background, "causal-learn's BackgroundKnowledge", name)
    for name, what in (
        ("forbidden_pattern_rules_specs", "patterns of names"),
        ("required_pattern_rules_specs", "patterns of names"),
        ("forbidden_within_tiers", "tiers within which nothing may cause"),
    ):
        if getattr(background, name, None):
            raise ConfigError(
                f"has {what}, which are not taken",
                subject="causal-learn's BackgroundKnowledge",
                remedy="Name the edges one by one",
            )
    tiers: Mapping[int, Any] = background.tier_map
    return Knowledge(
        tiers=tuple(
            tuple(sorted(node.get_name() for node in tiers[at]))
            for at in sorted(tiers)
            if tiers[at]
        ),
        forbidden=_named((a.get_name(), b.get_name()) for a, b in background.forbidden_rules_specs),
        required=_named((a.get_name(), b.get_name()) for a, b in background.required_rules_specs),
    )


def knowledge_from_lingam(matrix: npt.ArrayLike, names: Sequence[str]) -> Knowledge:
    """Return what a matrix of lingam's prior knowledge says of edges.

    Its row is the target: 0 says that the column has no path to it, and so no edge; -1 says
    nothing. A path (1) need not be an edge, so that it is refused.

    Raises ConfigError for another shape or value.
    """
    prior = np.asarray(matrix)
    if prior.shape != (len(names), len(names)) or not np.isin(prior, (-1, 0, 1)).all():
        raise ConfigError(
            f"has the shape {prior.shape} for {len(names)} names, or holds more than -1, 0 and 1",
            subject="prior knowledge of lingam",
            remedy="Give what make_prior_knowledge returned",
        )
    off = ~np.eye(len(names), dtype=bool)
    if ((prior == 1) & off).any():
        target, source = np.argwhere((prior == 1) & off)[0].tolist()
        raise ConfigError(
            f"asks for a path from {names[source]!r:.80} to {names[target]!r:.80}, which need not "
            "be an edge",
            subject="prior knowledge of lingam",
            remedy="Name required edges in a knowledge file",
        )
    return Knowledge(
        forbidden=tuple(
            (names[source], names[target])
            for target, source in np.argwhere((prior == 0) & off).tolist()
        )
    )


def _named(edges: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({(str(source), str(target)) for source, target in edges}))


def _other(value: object, what: str, lacks: str) -> ConfigError:
    return ConfigError(
        f"a {type(value).__name__} has no {lacks}", subject=what, remedy=f"Give {what}"
    )
