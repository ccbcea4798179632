"""Make docs/reference/policy.md and registry.md: every field with its default and its docstring."""

from collections.abc import Sequence
from pathlib import Path

from reference.source import Class, classes_of, paragraph

__all__ = ["policy_page", "registry_page"]

_POLICY = ("packets/policy.py", "packets/summing.py", "packets/knowledge.py")
_REGISTRY = ("registry", "records", "budget", "floors", "annulments")
_POLICY_INTRO = """\
# The policy of a plan

    [policy]
    lags = [1, 2]
    vote_min = 0.25

A policy says what clients share, how it is merged, and what noise keeps it private. It is part of
each round's signed plan. The section `[policy]` of `hyperfed.toml` takes these fields, and so does
`hyperfed service install --set vote_min=0.25`. What is not set has its default.
"""
_REGISTRY_INTRO = """\
# The registry

    hyperfed registry show

The registry lists who may speak, with which keys, and what no online key may change. The roots sign
each version offline. The commands `hyperfed registry ...` make a new version and list what would
change; a signed version is never edited.
"""


def policy_page(root: Path) -> str:
    classes = [one for name in _POLICY for one in classes_of(root / "src/hyperfed" / name)]
    return _page(_POLICY_INTRO, [one for one in classes if one.fields])


def registry_page(root: Path) -> str:
    folder = root / "src/hyperfed/registry"
    classes = [one for name in _REGISTRY for one in classes_of(folder / f"{name}.py")]
    return _page(_REGISTRY_INTRO, [one for one in classes if one.fields])


def _page(introduction: str, classes: Sequence[Class]) -> str:
    return "\n".join([introduction, *(_section(one) for one in classes)])


def _section(one: Class) -> str:
    lines = [f"## `{one.name}`", ""]
    for text in one.text.split("\n\n"):
        lines += [paragraph(text), ""]
    for field in one.fields:
        default = "" if field.default is None else f", default `{field.default}`"
        head = f"**{field.name}** (`{field.type}`{default}). "
        lines.append(paragraph(head + field.text, "- ", "  "))
    return "\n".join([*lines, ""])
