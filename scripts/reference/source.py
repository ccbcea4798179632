"""Read classes, their fields and their docstrings from source files, without importing them."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Class", "Field", "classes_of", "constant", "paragraph", "parsed"]

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a class, as its source has it."""

    name: str
    type: str
    default: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Class:
    """A class, as its source has it."""

    name: str
    bases: tuple[str, ...]
    text: str
    fields: tuple[Field, ...]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def classes_of(path: Path) -> list[Class]:
    """Return the classes at the top of a module, in its order."""
    return [
        Class(
            node.name,
            tuple(ast.unparse(base) for base in node.bases),
            ast.get_docstring(node) or "",
            tuple(_fields(node)),
        )
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef)
    ]


def _fields(node: ast.ClassDef) -> Iterator[Field]:
    for line, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        text = constant(after.value) if isinstance(after, ast.Expr) else None
        yield Field(
            line.target.id, ast.unparse(line.annotation), _default(line.value), _whole(text)
        )


def _default(value: ast.expr | None) -> str | None:
    """Return a default as one writes it: that of `field(default=...)` without the call."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        given = {word.arg: word.value for word in value.keywords}
        if "default" in given:
            return ast.unparse(given["default"])
        return f"{ast.unparse(given['default_factory'])}()" if "default_factory" in given else None
    return None if value is None else ast.unparse(value)


def _whole(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split())


def constant(node: ast.expr) -> str | None:
    """Return the text of a string, an f-string or a sum of these; None where it is none.

    What a string is filled with stands as "…".
    """
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            texts = [constant(part) if isinstance(part, ast.Constant) else "…" for part in parts]
            return "".join(text or "" for text in texts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            ends = constant(left), constant(right)
            return f"{ends[0] or '…'}{ends[1] or '…'}" if any(ends) else None
    return None


def paragraph(text: str, first: str = "", others: str = "") -> str:
    """Return a text in lines of 100 columns, none of which breaks inside `code`."""
    joined = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), " ".join(text.split()))
    lines = textwrap.fill(
        joined,
        WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace("\0", " ")
