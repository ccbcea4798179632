"""Make docs/reference/errors.md: every error, and every rule with its errors and their remedies.

1. The errors and their tree are those of `hyperfed.errors`; exit codes those of the command.
2. A rule's text is that of docs/protocol.md.
3. The remedies are read from the calls that raise an error, with the rule that each names.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hyperfed import errors
from hyperfed.cli.output import CODES, exit_code_of
from reference.source import Class, classes_of, constant, paragraph

__all__ = ["Raised", "errors_page", "raised_in", "rules_of"]

_RULE = re.compile(r"^\| (R-\d+) \|(?: [^|]+ \|)?? (.+) \|$", re.MULTILINE)
_INTRO = """\
# Errors, exit codes and remedies

    client hospital_1: looks like hospital-1: they differ in '-' and '_' alone [R-22]. Choose an id
    that nobody can take for another

An error says what is wrong, with which object, by which rule, and what to do. `--json` prints the
same parts as a document. In Python they are the attributes `problem`, `subject`, `rule` and
`remedy` of each `HyperfedError`. Look for the rule in brackets below. "…" stands for what an error
fills in.
"""


@dataclass(frozen=True, slots=True, order=True)
class Raised:
    """A place of the code that raises an error."""

    rule: str
    """The rule that it names, or ""."""
    error: str
    """The error's class."""
    remedy: str
    """What it tells the user to do, or ""."""


_BY_RULE = """\
The [protocol](../protocol.md) has each rule's full text. Where no error is named, the rule is told
by a receipt, a void round or a finding of the audit.
"""


def errors_page(root: Path) -> str:
    library = root / "src" / "hyperfed"
    known = classes_of(library / "errors.py")
    names = {one.name for one in known}
    code = (library, *(root / name for name in ("blocks", "tasks", "flows")))
    raised = sorted({one for folder in code for one in raised_in(folder, names)})
    rules = rules_of((root / "docs" / "protocol.md").read_text(encoding="utf-8"))
    return "\n".join(
        [_INTRO, _codes(), _errors(known), _by_rule(rules, raised), _without_rule(known, raised)]
    )


def rules_of(page: str) -> dict[str, str]:
    """Return each rule's line of the protocol's tables, in the order of their numbers."""
    found = {rule: text.rpartition(" | ")[2] for rule, text in _RULE.findall(page)}
    return dict(sorted(found.items(), key=lambda pair: int(pair[0][2:])))


def raised_in(folder: Path, names: set[str]) -> Iterator[Raised]:
    """Yield each place below a folder that makes one of these errors."""
    files = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))]
    modules = [ast.parse(text) for text in files if "rule" in text or "remedy" in text]
    texts = {
        target.id: text
        for module in modules
        for line in module.body
        if isinstance(line, ast.Assign) and (text := constant(line.value))
        for target in line.targets
        if isinstance(target, ast.Name)
    }
    for module in modules:
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and (error := _called(node)) in names:
                given = {word.arg: _text(word.value, texts) for word in node.keywords}
                yield Raised(given.get("rule", ""), error, given.get("remedy", ""))


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _text(node: ast.expr, texts: Mapping[str, str]) -> str:
    text = texts.get(node.id) if isinstance(node, ast.Name) else constant(node)
    return " ".join((text or "").split())


def _codes() -> str:
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in CODES.items())
    return f"## Exit codes\n\n| code | means |\n|---|---|\n{rows}\n"


def _errors(known: list[Class]) -> str:
    lines = ["## Errors", "", "| error | is a | exit code | means |", "|---|---|---|---|"]
    for one in known:
        code = exit_code_of(getattr(errors, one.name)("an example"))
        means = one.text.split("\n\n")[0].replace("\n", " ")
        lines.append(f"| `{one.name}` | `{one.bases[0]}` | {code} | {means} |")
    return "\n".join([*lines, ""])


def _by_rule(rules: Mapping[str, str], raised: list[Raised]) -> str:
    by_rule = defaultdict[str, list[Raised]](list)
    for one in raised:
        by_rule[one.rule].append(one)
    lines = ["## By rule", "", paragraph(_BY_RULE), ""]
    for rule, text in rules.items():
        named = by_rule[rule]
        kinds = ", ".join(f"`{error}`" for error in dict.fromkeys(one.error for one in named))
        lines += [f"### {rule}", "", paragraph(text), ""]
        if kinds:
            lines += [paragraph(f"Raised as {kinds}."), ""]
        lines += _remedies(named)
    return "\n".join(lines)


def _without_rule(known: list[Class], raised: list[Raised]) -> str:
    lines = ["## Remedies of errors without a rule", ""]
    for one in known:
        remedies = _remedies([each for each in raised if not each.rule and each.error == one.name])
        if remedies:
            lines += [f"### `{one.name}`", "", *remedies]
    return "\n".join(lines)


def _remedies(raised: list[Raised]) -> list[str]:
    said = sorted({one.remedy for one in raised if one.remedy.strip("… ")})
    lines = [paragraph(_escaped(remedy) + ".", "- ", "  ") for remedy in said]
    return [*lines, ""] if lines else []


def _escaped(text: str) -> str:
    """Return a remedy with nothing that Markdown would take for a link, a tag or emphasis."""
    parts = re.split(r"(`[^`]*`)", text.rstrip("."))
    return "".join(
        part if part.startswith("`") else re.sub(r"([<>\[\]*_|])", r"\\\1", part) for part in parts
    )
