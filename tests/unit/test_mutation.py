"""`scripts/mutate.py`: what it breaks, that a loaded function is broken, and that no child of it
leaves a process behind or takes the machine.
"""

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hyperfed.protocol import merkle

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from mutation.children import run_child  # noqa: E402
from mutation.loaded import CannotReplace, Changed, Loaded  # noqa: E402
from mutation.mutants import Mutant, mutants_of  # noqa: E402
from mutation.reach import LineTracer, Reached, reaching  # noqa: E402
from mutation.rooms import SOURCE  # noqa: E402

sys.path.remove(str(ROOT / "scripts"))

EXAMPLE = '''"""A module."""

def kept(digest: str, other: str) -> bool:
    _check(
        other
    )
    if (
        digest == other
        and len(other) < 3
    ):
        raise ValueError
    return True
'''


def test_a_mutant_changes_one_expression_and_moves_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutation.mutants.SOURCE", tmp_path)
    (tmp_path / "a.py").write_text(EXAMPLE)
    mutants = list(mutants_of(tmp_path / "a.py"))
    assert {mutant.kind for mutant in mutants} == {
        *("Eq to NotEq", "Lt to GtE", "Lt to LtE", "digest ignored: True", "digest ignored: False"),
        *("check never true", "and and or exchanged", "check left out", "truth turned"),
    }
    for mutant in mutants:
        assert mutant.function == "kept"
        assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(EXAMPLE))
        assert mutant.source.count("\n") == EXAMPLE.count("\n")
        assert mutant.source.splitlines()[-1].startswith("    return (False)") == (
            mutant.kind == "truth turned"
        )
    assert {m.lines for m in mutants if m.kind == "check left out"} == {range(4, 7)}


def test_what_raises_by_any_name_is_left_out_and_mutants_of_one_chain_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutation.mutants.SOURCE", tmp_path)
    (tmp_path / "a.py").write_text(
        "require(f(a))\naudit_it(a)\nguard.charge(a)\nnacl.crypto_sign_open(a)\nb = 0 <= a <= 1\n"
    )
    mutants = list(mutants_of(tmp_path / "a.py"))
    left_out = [mutant.lines[0] for mutant in mutants if mutant.kind == "check left out"]
    assert left_out == [1, 2, 3, 4]
    chain = [(mutant.kind, mutant.column) for mutant in mutants if mutant.lines[0] == 5]
    assert len(chain) == len(set(chain)) == 4


def test_a_loaded_function_is_broken_in_a_child_and_whole_in_the_parent() -> None:
    loaded, mutant = Loaded({"hyperfed.protocol.merkle"}), next(mutants_of(Path(merkle.__file__)))
    name = mutant.function.rpartition(".")[2]
    before = getattr(merkle, name).__code__

    def work() -> int:
        loaded.change(mutant)
        assert isinstance(sys.meta_path[0], Changed)
        return 0 if getattr(merkle, name).__code__ != before else 1

    assert run_child(work, most_s=30).status == 0
    assert getattr(merkle, name).__code__ is before
    of_the_module = Mutant(mutant.path, "", "", range(1, 2), 0, "", mutant.source)
    with pytest.raises(CannotReplace):
        loaded.change(of_the_module)


def test_the_lines_that_ran_decide_which_tests_run() -> None:
    tracer = LineTracer()
    merkle.head([b"a", b"b"])
    lines = tracer.lines()
    path = str(Path(merkle.__file__).relative_to(SOURCE))
    assert set(lines) == {path}
    head, proof = (f.__code__.co_firstlineno for f in (merkle.head, merkle.proof))
    assert Reached(True, 1.0, lines).reaches(path, range(head, head + 1))
    assert not Reached(True, 1.0, lines).reaches(path, range(proof, proof + 1))
    measured = {
        "slow": Reached(True, 2.0, {path: f"{1 << head:x}"}),
        "quick": Reached(True, 1.0, {path: f"{1 << head:x}"}),
        "elsewhere": Reached(True, 1.0, {path: f"{1 << proof:x}"}),
        "fails alone": Reached(False, 1.0, {path: f"{1 << head:x}"}),
    }
    assert reaching(measured, path, range(head, head + 1), []) == ["quick", "slow"]
    assert reaching(measured, path, range(head, head + 1), ["slow"]) == ["slow", "quick"]


def test_a_child_leaves_no_process(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def work() -> int:
        sleeping = ["sleep", "600"]
        children = [subprocess.Popen(sleeping), subprocess.Popen(sleeping, start_new_session=True)]
        pids.write_text(" ".join(str(child.pid) for child in children))
        return 3

    with subprocess.Popen(["sleep", "600"]) as of_its_own:
        assert run_child(work, most_s=30).status == 3
        assert of_its_own.poll() is None, "what the parent had started is none of its concern"
        of_its_own.kill()
    for pid in map(int, pids.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_child_above_a_bound_is_killed() -> None:
    def many_threads() -> int:
        for _ in range(150):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        time.sleep(60)
        return 0

    ended = run_child(many_threads, most_s=30)
    assert (ended.status, ended.why) == (-signal.SIGKILL, "threads")
    assert run_child(lambda: time.sleep(60) or 0, most_s=0.1).why == "time"
