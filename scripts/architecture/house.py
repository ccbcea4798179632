"""The rooms of a checkout and the arrows between them, read from its imports.

1. A room is a package or a module at the root of `hyperfed`. One-line aliases, and the package's
   own `__init__`, are left out.
2. An arrow goes from a room to each room that it imports, also inside functions.
3. A room lies one storey above the highest room that it imports. Where arrows go round in a circle,
   no order has them all going down: the fewest that must run back up are counted.

What it does not do: follow strings (lazy commands, child processes).
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

__all__ = ["House", "Module", "StaleError"]

_ALIAS = "Give the reference page's name to"


class StaleError(Exception):
    """What this script says of the code is not so."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """One source file."""

    name: str
    """Dotted; without the leading `hyperfed.` in the library."""
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @cached_property
    def words(self) -> frozenset[str]:
        """Every name, attribute and imported name in it."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.ImportFrom):
                found.update(alias.name for alias in node.names)
        return frozenset(found)


def modules_of(root: Path) -> dict[str, Module]:
    """The library's modules by their name within `hyperfed`; its own `__init__` is ""."""
    folder = root / "src" / "hyperfed"
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name=name, path=path, text=path.read_text(encoding="utf-8"))
    return found


def imported(module: Module, modules: Mapping[str, Module]) -> Iterator[str]:
    """The library's modules that a module imports."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            whole = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            whole = [p if p.removeprefix("hyperfed.") in modules else node.module for p in parts]
        else:
            continue
        yield from (n.removeprefix("hyperfed.") for n in whole if n.startswith("hyperfed."))


@dataclass(frozen=True, kw_only=True)
class House:
    """The rooms of a checkout and the arrows between them."""

    modules: dict[str, Module]
    rooms: tuple[str, ...]
    aliases: tuple[str, ...]
    arrows: frozenset[tuple[str, str]]
    """(room, room that it imports)."""

    @classmethod
    def of(cls, root: Path) -> "House":
        modules = modules_of(root)
        aliases = {
            name
            for name, module in modules.items()
            if "." not in name and module.docstring.startswith(_ALIAS)
        }
        rooms = {module.room for module in modules.values()} - aliases - {""}
        arrows = {
            (module.room, name.partition(".")[0])
            for module in modules.values()
            for name in imported(module, modules)
        }
        return cls(
            modules=modules,
            rooms=tuple(sorted(rooms)),
            aliases=tuple(sorted(aliases)),
            arrows=frozenset((a, b) for a, b in arrows if a != b and {a, b} <= rooms),
        )

    @cached_property
    def root_modules(self) -> tuple[str, ...]:
        """The modules at the root, without aliases and `__init__`."""
        return tuple(r for r in self.rooms if self.modules[r].path.name != "__init__.py")

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Rooms that import each other."""
        return tuple(sorted((a, b) for a, b in self.arrows if a < b and (b, a) in self.arrows))

    @cached_property
    def in_circles(self) -> tuple[tuple[str, str], ...]:
        """The arrows from whose end other arrows lead back to their start."""
        return tuple(sorted((a, b) for a, b in self.arrows if a in reachable(b, self.arrows)))

    @cached_property
    def back_up(self) -> tuple[tuple[str, str], ...]:
        """The fewest arrows without which all others can go down."""
        for count in range(len(self.in_circles) + 1):
            for some in combinations(self.in_circles, count):
                rest = set(self.in_circles) - set(some)
                if not any(a in reachable(b, rest) for a, b in rest):
                    return some
        raise AssertionError("no arrow, no circle")

    @cached_property
    def storeys(self) -> dict[str, int]:
        """How high each room lies, from 0. Raises StaleError where arrows go round in a circle."""
        if self.in_circles:
            said = ", ".join(f"{a} -> {b}" for a, b in self.back_up)
            raise StaleError(f"rooms import each other in a circle; the fewest to turn: {said}")
        heights: dict[str, int] = {}

        def height(room: str) -> int:
            if room not in heights:
                below = [b for a, b in self.arrows if a == room]
                heights[room] = 1 + max((height(b) for b in below), default=-1)
            return heights[room]

        return {room: height(room) for room in self.rooms}


def reachable(start: str, arrows: Iterable[tuple[str, str]]) -> set[str]:
    """Where arrows lead from a room, in any number of steps; the room itself if they lead back."""
    after: dict[str, list[str]] = {}
    for a, b in arrows:
        after.setdefault(a, []).append(b)
    seen, waiting = {start}, [start]
    while waiting:
        for room in after.get(waiting.pop(), ()):
            if room not in seen:
                seen.add(room)
                waiting.append(room)
    return seen
