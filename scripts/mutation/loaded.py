"""Break code that is loaded already, or is being loaded."""

import gc
import importlib
import importlib.abc
import importlib.util
import sys
from collections import defaultdict
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from mutation.mutants import Mutant
from mutation.rooms import SOURCE


class CannotReplace(Exception):
    """A mutant changes what runs while its module is imported, or a closure's variables."""


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import one module from a mutant's source, and leave all others to Python."""

    def __init__(self, mutant: Mutant) -> None:
        self.path, self.name, self.source = SOURCE / mutant.path, module_of(mutant), mutant.source

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        package = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=package
        )

    def exec_module(self, module: Any) -> None:
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)  # noqa: S102 - our own code


def module_of(mutant: Mutant) -> str:
    """Return the name of the module that a mutant changes."""
    return mutant.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


class Loaded:
    """All functions of the package that this process holds."""

    def __init__(self, modules: set[str]) -> None:
        for name in sorted(modules):
            importlib.import_module(name)
        self._functions: dict[str, list[FunctionType]] = defaultdict(list)
        for thing in gc.get_objects():
            if type(thing) is FunctionType and thing.__code__.co_filename.startswith(str(SOURCE)):
                self._functions[thing.__code__.co_filename].append(thing)

    def change(self, mutant: Mutant) -> None:
        """Give the functions of a mutant's file the mutant's code, here and where it is imported.

        Raises CannotReplace where the module has to be imported anew.
        """
        if not mutant.function:
            raise CannotReplace(mutant.name)
        path = str(SOURCE / mutant.path)
        codes = defaultdict[tuple[str, int], list[CodeType]](list)
        for code in _codes(compile(mutant.source, path, "exec")):
            codes[code.co_qualname, code.co_firstlineno].append(code)
        changed = 0
        for function in self._functions[path]:
            old = function.__code__
            new = codes[old.co_qualname, old.co_firstlineno]
            if old in new:
                continue
            if len(new) != 1 or new[0].co_freevars != old.co_freevars:
                raise CannotReplace(mutant.name)
            function.__code__ = new[0]
            changed += 1
        if not changed:
            raise CannotReplace(mutant.name)
        sys.meta_path.insert(0, Changed(mutant))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
