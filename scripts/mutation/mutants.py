"""The mutants of a file: each is one change of one expression, and keeps every line where it is."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation.rooms import SOURCE, files_of

_FLIPPED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Gt: (ast.LtE, ast.GtE),
    ast.GtE: (ast.Lt, ast.Gt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_CHECKS = (
    *("check", "_check", "verify", "expect", "need", "_need", "refuse", "require"),
    *("audit_", "_audit", "charge", "crypto_sign_open"),
)
_COMPARED = ("compare_digest", "issubset", "isdisjoint")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    path: str
    """The file, below src."""
    function: str
    """The function or class around the change, "" for the module."""
    kind: str
    """What was changed."""
    lines: range
    """Where, from 1."""
    column: int
    """Where in its line, in bytes from 0: several changes of one kind may be in a line."""
    text: str
    """The line as it is."""
    source: str
    """The file's source with the change."""

    @property
    def name(self) -> str:
        """Return the name under which a reason for its survival is kept."""
        return f"{self.path} {self.function}: {self.kind}: {self.text}"

    @property
    def place(self) -> str:
        """Return the file and the first line of the change."""
        return f"{self.path}:{self.lines[0]}"


class _Finder(ast.NodeVisitor):
    """Find the changes of a module: (node, kind, what stands there instead, function, column)."""

    def __init__(self) -> None:
        self.around: list[str] = []
        self.found: list[tuple[ast.expr | ast.stmt, str, ast.AST, str, int]] = []

    def _add(self, node: Any, kind: str, instead: ast.AST, at: Any = None) -> None:
        self.found.append((node, kind, instead, ".".join(self.around), (at or node).col_offset))

    def _scope(self, node: Any) -> None:
        self.around.append(node.name)
        self.generic_visit(node)
        self.around.pop()

    visit_FunctionDef = visit_ClassDef = visit_AsyncFunctionDef = _scope

    def visit_Compare(self, node: ast.Compare) -> None:
        for i, operator in enumerate(node.ops):
            for other in _FLIPPED[type(operator)]:
                operators = [*node.ops[:i], other(), *node.ops[i + 1 :]]
                self._add(
                    node,
                    f"{type(operator).__name__} to {other.__name__}",
                    ast.Compare(node.left, operators, node.comparators),
                    node.comparators[i],
                )
        if any("digest" in ast.unparse(part) for part in (node.left, *node.comparators)):
            for value in (True, False):
                self._add(node, f"digest ignored: {value}", ast.Constant(value))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if any(isinstance(child, ast.Raise) for child in node.body):
            self._add(node.test, "check never true", ast.Constant(False))
        else:
            self._add(node.test, "condition never true", ast.Constant(False))
            self._add(node.test, "condition always true", ast.Constant(True))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._add(node, "and and or exchanged", ast.BoolOp(other, node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add(node, "not left out", node.operand)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func).rpartition(".")[2]
            if called.startswith(_CHECKS):
                self._add(node, "check left out", ast.Pass())
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func).rpartition(".")[2] in _COMPARED:
            self._add(node, "comparison ignored", ast.Constant(True))
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave the text of messages as it is."""

    def visit_Return(self, node: ast.Return) -> None:
        if isinstance(node.value, ast.Constant) and type(node.value.value) is bool:
            self._add(node.value, "truth turned", ast.Constant(not node.value.value))
        self.generic_visit(node)


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield the mutants of a file, in the order of its lines."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    finder, data = _Finder(), source.encode()
    finder.visit(ast.parse(source))
    for node, kind, instead, function, column in finder.found:
        last = node.end_lineno or node.lineno
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[last - 1] + (node.end_col_offset or 0)
        below = "\n" * (last - node.lineno)  # so that what follows keeps its line
        new = (
            f"({ast.unparse(instead)}{below})" if isinstance(instead, ast.expr) else f"pass{below}"
        )
        yield Mutant(
            str(path.relative_to(SOURCE)),
            function,
            kind,
            range(node.lineno, last + 1),
            column,
            lines[node.lineno - 1].strip(),
            (data[:begin] + new.encode() + data[end:]).decode(),
        )


def mutants_in(room: str) -> list[Mutant]:
    """Return the mutants of a room's files."""
    return [mutant for path in files_of(room) for mutant in mutants_of(path)]
