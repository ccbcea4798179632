"""The longest of everything in a checkout, and how wide its lines are."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from architecture.house import House

__all__ = ["Longest", "Sizes", "figures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Longest:
    """The longest of its kind in the library."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    lines: int
    """Of all of src/hyperfed."""
    file: Longest
    klass: Longest
    function: Longest
    parameters: Longest
    """Of one function, without self and cls."""
    wide_code: float
    """The share of lines above 100 columns, in src, flows, tasks and blocks."""
    docs_line: float
    """The mean length of a line of README and docs that is not empty."""
    wide_docs: float
    """The share of these above 100 columns, tables and examples among them."""

    @classmethod
    def of(cls, root: Path, house: House) -> "Sizes":
        files, classes, functions, parameters = [], [], [], []
        for name, module in house.modules.items():
            files.append((module.text.count("\n"), name))
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ClassDef):
                    classes.append((_height(node), f"{name}:{node.name}"))
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    functions.append((_height(node), f"{name}:{node.name}"))
                    parameters.append((_parameters(node), f"{name}:{node.name}"))
        code = [
            line
            for folder in ("src", "flows", "tasks", "blocks")
            for path in sorted((root / folder).rglob("*.py"))
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
        prose = [
            line
            for path in pages
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
        return cls(
            lines=sum(count for count, _ in files),
            file=_longest(files),
            klass=_longest(classes),
            function=_longest(functions),
            parameters=_longest(parameters),
            wide_code=sum(len(line) > 100 for line in code) / len(code),
            docs_line=sum(map(len, prose)) / len(prose),
            wide_docs=sum(len(line) > 100 for line in prose) / len(prose),
        )


def _height(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    a = node.args
    given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return sum(one.arg not in ("self", "cls") for one in given)


def _longest(found: Sequence[tuple[int, str]]) -> Longest:
    size, name = min(found, key=lambda one: (-one[0], one[1]))
    return Longest(name=name, size=size)


def figures(root: Path) -> str:
    """What `--figures` prints."""
    house = House.of(root)
    sizes = Sizes.of(root, house)
    pairs = ", ".join(f"{a}/{b}" for a, b in house.pairs)
    lines = [
        f"rooms                        {len(house.rooms)}",
        f"modules at the root          {len(house.root_modules)}, and {len(house.aliases)} aliases",
        f"arrows between rooms         {len(house.arrows)}",
        f"arrows in circles            {len(house.in_circles)}",
        f"arrows that run back up      {len(house.back_up)}",
        f"pairs that import each other {len(house.pairs)} {pairs}".rstrip(),
        f"lines of src/hyperfed        {sizes.lines}",
        f"longest file                 {sizes.file.size} {sizes.file.name}",
        f"longest class                {sizes.klass.size} {sizes.klass.name}",
        f"longest function             {sizes.function.size} {sizes.function.name}",
        f"longest parameter list       {sizes.parameters.size} {sizes.parameters.name}",
        f"code lines above 100 columns {sizes.wide_code:.1%}",
        f"mean line of the docs        {sizes.docs_line:.0f}, {sizes.wide_docs:.1%} above 100",
    ]
    return "\n".join(lines)
