"""One pytest session that has collected the tests, measures them, and tries mutants in children."""

import gc
import importlib
import json
import os
import shutil
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

from mutation.children import Ended, bound_processor_time, run_child
from mutation.loaded import CannotReplace, Loaded, module_of
from mutation.mutants import Mutant, mutants_in
from mutation.reach import LineTracer, Reached, keep, kept, reaching
from mutation.rooms import ROOMS

NOT_REPLACED = 71
_TIMES, _MORE_S = 4, 5.0  # a test on a mutant may take so many times what it took, and some seconds
_WALL = 15  # a busy machine takes so many times the processor time


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant."""

    survived: bool
    by: str
    """The test that noticed it, the bound that it broke, or how its child ended."""


class Profile:
    """A pytest plugin that says how Hypothesis looks at mutants."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Register the profile before tests/conftest.py asks for it by name."""
        from hypothesis import Phase, settings  # not before pytest has prepared its plugins

        settings.register_profile(
            "mutants",
            derandomize=True,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=(Phase.explicit, Phase.generate),
        )


class Trial(Profile, ABC):
    """A pytest plugin: its `work` is called in place of the run of the tests."""

    def __init__(self, out: TextIO, over: float, tests_s: float) -> None:
        self.out, self.over, self._tests_s = out, over, tests_s
        self.items: dict[str, pytest.Item] = {}
        self.failed = False
        self.error: BaseException | None = None
        self._loaded: Loaded | None = None
        self._killers: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._folder = Path(tempfile.mkdtemp(prefix="hyperfed-mutants-"))
        self._answer = self._folder / "answer"

    @abstractmethod
    def work(self) -> None:
        """Do what the command is asked for."""

    def collect(self, tests: Sequence[str]) -> None:
        """Collect the tests, call `work`, and remove what the children left on the disk."""
        options = ["-q", "-p", "no:cacheprovider", "-m", "not slow and not browser"]
        try:
            pytest.main([*options, f"--basetemp={self._folder / 'pytest'}", *tests], plugins=[self])
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self.error:
            raise self.error

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Call `work` instead of running every test."""
        self.items = {item.nodeid: item for item in session.items}
        try:
            if session.testsfailed:
                raise RuntimeError("not every test can be collected: see `make test`")
            if (threads := threading.active_count()) != 1:
                raise RuntimeError(f"{threads} threads run after the tests are collected")
            modules = {module_of(mutant) for room in ROOMS for mutant in mutants_in(room)}
            self._loaded = Loaded(modules)
            importlib.import_module("dp_accounting")  # or each private round of a child takes 1 s
            gc.collect()
            gc.freeze()  # so that children do not copy what they only look at
            self.work()
        except BaseException as error:
            self.error = error
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note that a test has failed."""
        self.failed = self.failed or report.failed

    def measure(self, folders: tuple[str, ...], over: float) -> tuple[dict[str, Reached], int]:
        """Return what each test of files or folders reaches, measured now where it is not kept.

        Also return how many are left unmeasured, because the time was over before.
        """
        files: dict[Path, list[str]] = defaultdict(list)
        for name, item in self.items.items():
            if name.startswith(folders):
                files[item.path].append(name)
        measured: dict[str, Reached] = {}
        for path, names in files.items():
            before = kept(path)
            known = dict(before)
            for name in names:
                if name in known or time.monotonic() > over:
                    continue
                reached = self._measured(name)
                if time.monotonic() < self.over:  # else it may have been ended for it
                    known[name] = reached
            if known != before:
                keep(path, known)
            measured |= {name: known[name] for name in names if name in known}
        return measured, sum(map(len, files.values())) - len(measured)

    def _measured(self, name: str) -> Reached:
        def work() -> int:
            tracer = LineTracer()
            passed = self._passes(self.items[name])
            self._answer.write_text(json.dumps(tracer.lines()))
            return 0 if passed else 1

        ended, answer = self._child(work, most_s=300)
        passed = ended.status == 0 and bool(answer)
        if not passed:
            print(f"fails alone: {name} {ended}", file=self.out, flush=True)
        return Reached(passed, round(ended.cpu_s, 3), json.loads(answer) if answer else {})

    def judge(self, mutant: Mutant, measured: dict[str, Reached]) -> Verdict | None:
        """Run the tests that reach a mutant, until one fails; None where it needs a new process.

        Raises TimeoutError where the command's time is over before the verdict.
        """
        if not mutant.function:
            return None
        assert self._loaded is not None  # noqa: S101 - for mypy
        loaded, killers = self._loaded, self._killers[mutant.path, mutant.function]
        names = reaching(measured, mutant.path, mutant.lines, killers)
        chosen, taken = list[str](), 0.0
        for name in names:
            if not chosen or taken + measured[name].cpu_s <= self._tests_s:
                chosen.append(name)
                taken += measured[name].cpu_s
        if not chosen:
            return Verdict(True, "")

        def work() -> int:
            try:
                loaded.change(mutant)
            except CannotReplace:
                return NOT_REPLACED
            for name in chosen:
                self._answer.write_text(name)
                most_s = _MORE_S + _TIMES * measured[name].cpu_s
                bound_processor_time(most_s)
                self.items[name].add_marker(pytest.mark.timeout(2 * most_s + 10), append=False)
                if not self._passes(self.items[name]):
                    return 1
            return 0

        ended, answer = self._child(work, most_s=60 + _WALL * taken)
        if ended.status == NOT_REPLACED:
            return None
        if ended.why == "time" and time.monotonic() > self.over:
            raise TimeoutError(mutant.name)
        if ended.status == 0:
            return Verdict(True, "")
        if answer in killers:
            killers.remove(answer)
        killers.insert(0, answer)
        how = {1: ""}.get(ended.status, f"{ended.why or f'status {ended.status}'} in ")
        return Verdict(False, how + answer)

    def _passes(self, item: pytest.Item) -> bool:
        """Run one test in this process, which is a child."""
        self.failed = False
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        except BaseException:
            return False
        return not self.failed

    def _child(self, work: Callable[[], int], *, most_s: float) -> tuple[Ended, str]:
        """Run work in a child with folders of its own; return its end and its answer."""
        self._answer.unlink(missing_ok=True)
        temporary = self._folder / "tmp"
        temporary.mkdir()

        def with_folders() -> int:
            tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
            return work()

        try:
            left = max(1.0, self.over - time.monotonic())
            ended = run_child(with_folders, most_s=min(most_s, left))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if "HYPERFED_CACHE" in os.environ:  # by tests/conftest.py
                shutil.rmtree(Path(os.environ["HYPERFED_CACHE"]) / "state", ignore_errors=True)
        return ended, self._answer.read_text() if self._answer.exists() else ""
