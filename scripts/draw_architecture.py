"""Draw docs/architecture.svg, and write the figures of docs/architecture.md, from the code.

python scripts/draw_architecture.py --write           # make both anew
python scripts/draw_architecture.py --check           # exit code 1 where one is not current
python scripts/draw_architecture.py --figures [DIR]   # print the figures of a checkout
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from architecture.house import House, Module, StaleError
from architecture.paths import ROUND, UPDATE, Stop, check_stop, rooms_passed
from architecture.picture import GROUPS, draw
from architecture.sizes import figures

ROOT = Path(__file__).parents[1]
PICTURE, PAGE = Path("docs/architecture.svg"), Path("docs/architecture.md")


def blocks(house: House, root: Path) -> dict[str, str]:
    """The parts of the page that the code decides, by the name in their markers."""
    storeys = max(house.storeys.values()) + 1
    return {
        "figures": "\n".join(
            [
                "| | |",
                "|---|---|",
                f"| rooms | {len(house.rooms)}, on {storeys} storeys |",
                f"| of these, modules at the root | {len(house.root_modules)} |",
                f"| one-line aliases at the root | {len(house.aliases)} |",
                f"| arrows between rooms | {len(house.arrows)} |",
                f"| arrows that run back up | {len(house.back_up)} |",
                f"| pairs of rooms that import each other | {len(house.pairs)} |",
                f"| rooms that an update passes | {len(rooms_passed(UPDATE))} |",
                f"| rooms that a round passes | {len(rooms_passed(ROUND))} |",
            ]
        ),
        "rooms": _rooms(house),
        "contracts": "\n".join(f"- {name}" for name in _contracts(root)),
        "update": _listed(UPDATE),
        "round": _listed(ROUND),
    }


def _rooms(house: House) -> str:
    parts = []
    for group, rooms in GROUPS.items():
        there = [room for room in rooms if room in house.rooms]
        parts += ["", f"**{group}**", "", "| room | what it is for |", "|---|---|"]
        parts += [f"| `{room}` | {_purpose(house.modules[room])} |" for room in there]
    return "\n".join(parts[1:])


def _purpose(module: Module) -> str:
    """The first sentence of a room's docstring, on one line, without its list."""
    first = " ".join(module.docstring.split("\n\n")[0].split())
    sentence = re.match(r".*?\.(?=\s|$)", first)
    return (sentence[0] if sentence else first).rstrip(".").replace("|", "\\|")


def _contracts(root: Path) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return [contract["name"] for contract in project["tool"]["importlinter"]["contracts"]]


def _listed(path: Sequence[Stop]) -> str:
    lines = []
    for number, stop in enumerate(path, 1):
        module, _, name = stop.at.partition(":")
        lines.append(f"{number}. **{stop.room}**: `{module}.{name}`")
        lines.append(" " * (len(str(number)) + 2) + f"{stop.does}.")
    return "\n".join(lines)


def filled(page: str, made: Mapping[str, str]) -> str:
    """The page with each marked part made anew. Raises StaleError where a marker is missing."""
    for name, text in made.items():
        marked = re.compile(rf"(<!-- {name}: made [^>]*-->\n).*?(<!-- end -->)", re.DOTALL)
        found = marked.search(page)
        if not found:
            raise StaleError(f"{PAGE} has no marker for {name!r}")
        new = f"{found[1]}\n{text}\n\n{found[2]}"
        page = page[: found.start()] + new + page[found.end() :]
    return page


def made_anew(root: Path) -> dict[Path, str]:
    """The picture and the page as the code has them. Raises StaleError."""
    house = House.of(root)
    for stop in (*UPDATE, *ROUND):
        check_stop(stop, house, root)
    page = (root / PAGE).read_text(encoding="utf-8")
    return {PICTURE: draw(house), PAGE: filled(page, blocks(house, root))}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="make picture and page anew")
    what.add_argument("--check", action="store_true", help="exit code 1 where one is not current")
    what.add_argument("--figures", nargs="?", const=ROOT, type=Path, metavar="DIR")
    given = parser.parse_args(arguments)
    if given.figures:
        print(figures(given.figures))
        return 0
    try:
        made = made_anew(ROOT)
    except StaleError as error:
        print(error, file=sys.stderr)
        return 1
    stale = [
        path
        for path, text in made.items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]
    if given.write:
        for path in stale:
            (ROOT / path).write_text(made[path], encoding="utf-8")
            print(f"wrote {path}")
        return 0
    for path in stale:
        print(f"{path} is not current: run `{parser.prog} --write`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
