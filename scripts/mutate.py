"""Break the code one line at a time, and see whether a test notices.

    python scripts/mutate.py --minutes 10            a sample of every room, in a fixed random order
    python scripts/mutate.py --room validator --minutes 60 --seed 3
    python scripts/mutate.py --list --room guard     what could be broken, without running anything

1. A mutant is one change of one expression: a comparison is flipped or moved to its boundary, a
   condition is never or always true, a check that is called for its error is left out, a digest
   or signature that is compared is not looked at, `and` becomes `or`, a truth value is turned.
2. The file on the disk is never touched. A parent has imported the libraries; for each mutant it
   forks a child that imports the package with the changed source, and runs the room's own tests.
   Where these pass the child's brother runs the tests around the room.
3. A mutant is killed where a test fails, the import fails, or the child needs far more processor
   time than the whole code does. It survives where all tests pass.
4. A survivor has its reason in tests/mutation/survivors.toml, under its name: file, function, the
   kind of change and the text of the line, so that names outlive changes of other lines. One
   without a reason makes the command end with 1.

What it does not do: break two things at once, or run more than one child.
"""

import argparse
import ast
import importlib.abc
import importlib.util
import os
import random
import resource
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
SURVIVORS = ROOT / "tests" / "mutation" / "survivors.toml"
ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # room: files below src/hyperfed, its own tests, the tests around it
    "validator": (
        ("validator/*.py",),
        ("tests/unit/validator",),
        (
            "tests/attack",
            "tests/unit/privacy/test_local_noise.py",
            "tests/unit/privacy/test_private_night.py",
        ),
    ),
    "crypto": (
        ("crypto/*.py",),
        ("tests/unit/crypto",),
        ("tests/unit/registry", "tests/unit/validator", "tests/attack"),
    ),
    "machine": (
        ("protocol/machine.py",),
        ("tests/unit/protocol/test_machine.py",),
        ("tests/property/test_protocol_model.py", "tests/fault/test_crash_anywhere.py"),
    ),
    "ledger": (
        (
            "protocol/ledger.py",
            "protocol/entries.py",
            "protocol/sequences.py",
            "dropbox/ledger_*.py",
            "dropbox/charges.py",
            "dropbox/claims.py",
        ),
        (
            "tests/unit/protocol/test_ledger.py",
            "tests/unit/protocol/test_sequences.py",
            "tests/unit/dropbox/test_ledger_copy.py",
        ),
        (
            "tests/attack/test_alien_reserves.py",
            "tests/attack/test_annulled_entries.py",
            "tests/attack/test_sequences_of_a_stolen_key.py",
            "tests/attack/test_ways_back.py",
            "tests/unit/dropbox",
            "tests/unit/operations/test_audit.py",
            "tests/unit/coordinator",
        ),
    ),
    "registry": (
        ("registry/*.py", "dropbox/registries.py", "dropbox/annulling.py"),
        ("tests/unit/registry",),
        (
            "tests/unit/cli/test_cli_registry.py",
            "tests/unit/cli/test_cli_registry_mending.py",
            "tests/attack",
            "tests/unit/coordinator",
        ),
    ),
    "release": (
        ("privacy/release.py", "protocol/round_noise.py", "coordinator/release_marks.py"),
        (
            "tests/unit/privacy/test_release.py",
            "tests/unit/protocol/test_round_noise.py",
            "tests/unit/coordinator/test_release_marks.py",
        ),
        ("tests/unit/privacy", "tests/attack/test_one_noise_a_round.py"),
    ),
    "guard": (
        ("privacy/guard.py", "privacy/accountant.py"),
        (
            "tests/unit/privacy/test_guard.py",
            "tests/unit/privacy/test_privacy_guard.py",
            "tests/unit/privacy/test_accountant.py",
        ),
        ("tests/unit/privacy",),
    ),
    "receipts": (
        ("protocol/receipt*.py", "protocol/merkle.py", "coordinator/receipts.py"),
        ("tests/unit/protocol",),
        ("tests/unit/client", "tests/unit/operations", "tests/attack"),
    ),
    "audit": (
        ("operations/audit/*.py",),
        ("tests/unit/operations/test_audit.py", "tests/unit/operations/test_audit_formula.py"),
        (
            "tests/attack/test_counted_though_inadmissible.py",
            "tests/attack/test_updates_left_out.py",
            "tests/attack/test_ways_back.py",
            "tests/unit/privacy/test_audited_statement.py",
            "tests/unit/protocol",
        ),
    ),
    "client": (
        (
            "client/session.py",
            "client/signing.py",
            "client/memory.py",
            "client/checks.py",
            "client/own_slots.py",
            "client/sharing.py",
            "client/noised.py",
            "client/deltas.py",
            "client/standing.py",
        ),
        ("tests/unit/client", "tests/unit/privacy/test_local_noise.py"),
        ("tests/attack", "tests/unit/cli/test_cli_standing.py"),
    ),
}
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
_CHECKS = ("check", "_check", "verify", "expect", "need", "_need", "refuse")
_COMPARED = ("compare_digest", "issubset", "isdisjoint")
_SAMPLED_S = 15.0  # what tests are taken to need where they were not run on the whole code
_FEWEST_S, _TIMES = 20, 8  # a child may take so many times the processor time of the whole code


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    path: str
    """The file, below src."""
    function: str
    """The function or class around the change, "" for the module."""
    kind: str
    """What was changed."""
    line: int
    """Where, from 1."""
    text: str
    """The line as it is."""
    source: str
    """The file's source with the change."""

    @property
    def name(self) -> str:
        """Return the name under which a reason for its survival is kept."""
        return f"{self.path} {self.function}: {self.kind}: {self.text}"


class _Finder(ast.NodeVisitor):
    """Find the changes of a module: (node, kind, what stands there instead)."""

    def __init__(self) -> None:
        self.around: list[str] = []
        self.found: list[tuple[ast.expr | ast.stmt, str, ast.AST, str]] = []

    def _add(self, node: Any, kind: str, instead: ast.AST) -> None:
        self.found.append((node, kind, instead, ".".join(self.around)))

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
    for node, kind, instead, function in finder.found:
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        new = "pass" if isinstance(instead, ast.Pass) else f"({ast.unparse(instead)})"
        changed = (data[:begin] + new.encode() + data[end:]).decode()
        yield Mutant(
            str(path.relative_to(SOURCE)),
            function,
            kind,
            node.lineno,
            lines[node.lineno - 1].strip(),
            changed,
        )


def mutants_in(room: str) -> list[Mutant]:
    """Return the mutants of a room's files."""
    files = sorted({p for glob in ROOMS[room][0] for p in (SOURCE / "hyperfed").glob(glob)})
    return [mutant for path in files for mutant in mutants_of(path)]


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import one module from a changed source, and leave all others to Python."""

    def __init__(self, mutant: Mutant) -> None:
        self.path = SOURCE / mutant.path
        name = mutant.path.removesuffix(".py").replace("/", ".")
        self.name, self.source = name.removesuffix(".__init__"), mutant.source

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        package = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=package
        )

    def exec_module(self, module: Any) -> None:
        code: CodeType = compile(self.source, str(self.path), "exec")
        exec(code, module.__dict__)  # noqa: S102 - our own code, changed


def run(
    tests: tuple[str, ...], mutant: Mutant | None, *, most_s: float | None
) -> tuple[bool, float]:
    """Run tests in a child, on the whole code or on a mutant; (all passed, processor seconds).

    Raises RuntimeError where the child found no test to run.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        code = 70
        try:
            if most_s is not None:
                seconds = int(most_s) + 1
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            if mutant is not None:
                sys.meta_path.insert(0, _Changed(mutant))
            with (
                Path(os.devnull).open("w") as nowhere,
                redirect_stdout(nowhere),
                redirect_stderr(nowhere),
            ):
                import pytest

                options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not browser"]
                code = int(pytest.main([*options, *tests]))
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 5:
        raise RuntimeError(f"there is no test in {', '.join(tests)}")
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, taken


def survives(mutant: Mutant, room: str, whole_s: dict[tuple[str, ...], float]) -> bool:
    """Return whether the room's tests, and then those around it, all pass on a mutant."""
    for tests in ROOMS[room][1:]:
        if tests not in whole_s:
            passed, whole_s[tests] = run(tests, None, most_s=None)
            if not passed:
                raise RuntimeError(f"the tests fail on the whole code: {', '.join(tests)}")
        passed, _ = run(tests, mutant, most_s=max(_FEWEST_S, _TIMES * whole_s[tests]))
        if not passed:
            return False
    return True


def reasons() -> dict[str, str]:
    """Return why each known survivor may survive, by its name."""
    document = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))
    return {mutant["name"]: mutant["reason"] for mutant in document.get("survivor", [])}


def main(arguments: list[str]) -> int:
    """Run the command; 1 where a mutant survived that has no reason."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--room", action="append", choices=sorted(ROOMS))
    parser.add_argument("--minutes", type=float, default=10.0, help="wall-clock time, all in all")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which they are tried")
    parser.add_argument(
        "--sample", action="store_true", help="the tests have just passed on the whole code"
    )
    parser.add_argument("--list", action="store_true", help="only say what could be broken")
    given = parser.parse_args(arguments)
    rooms = given.room or [*ROOMS]
    waiting = {room: mutants_in(room) for room in rooms}
    for room in rooms:
        random.Random(f"{given.seed} {room}").shuffle(waiting[room])  # noqa: S311
    total = sum(map(len, waiting.values()))
    if given.list:
        for room in rooms:
            print(f"{room}: {len(waiting[room])}")
            for mutant in sorted(waiting[room], key=lambda m: (m.path, m.line)):
                print(f"  {mutant.path}:{mutant.line} {mutant.kind}: {mutant.text}")
        return 0
    known, whole_s = reasons(), dict[tuple[str, ...], float]()
    if given.sample:
        whole_s = {tests: _SAMPLED_S for room in rooms for tests in ROOMS[room][1:]}
    over = time.monotonic() + 60 * given.minutes
    tried: Counter[str] = Counter()
    alone: list[Mutant] = []
    _import_libraries()
    while any(waiting.values()) and time.monotonic() < over:
        for room in rooms:  # in turns, so that a small budget looks into every room
            if not waiting[room] or time.monotonic() >= over:
                continue
            mutant = waiting[room].pop()
            tried[room] += 1
            if sum(tried[r] for r in rooms) % 25 == 0:
                print(f"... {sum(tried[r] for r in rooms)} tried", file=sys.stderr)
            if not survives(mutant, room, whole_s):
                continue
            tried[f"{room} survived"] += 1
            reason = known.get(mutant.name)
            print(
                f"SURVIVED {mutant.path}:{mutant.line}\n  {mutant.name}\n  {reason or 'NO REASON'}"
            )
            if reason is None:
                alone.append(mutant)
    for room in rooms:
        print(
            f"{room}: {tried[room]} tried of {tried[room] + len(waiting[room])}, "
            f"{tried[f'{room} survived']} survived"
        )
    done = sum(tried[room] for room in rooms)
    print(f"{done} of {total} mutants tried; {len(alone)} survived without a reason")
    return 1 if alone else 0


def _import_libraries() -> None:
    """Import what every child needs and no mutant changes."""
    for name in ("numpy", "msgpack", "zstandard", "nacl.bindings", "pytest", "click"):
        importlib.import_module(name)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.path[:0] = [str(SOURCE), str(ROOT)]
    sys.exit(main(sys.argv[1:]))
