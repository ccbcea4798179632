"""Make the table of tests/files/README.md: what each file becomes, by the way every command takes.

    .venv/bin/python -m tests.unit.engines.files_table --write     # after a change, and then look

A file that no row names gets a row without options. Rows with options are written by hand, up to
what they become.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from hyperfed.cli.client.source_options import source_options
from hyperfed.cli.invocation import Invocation
from hyperfed.client.finding import read_data
from hyperfed.client.settings import Settings
from hyperfed.client.sources import given_source, read_source
from hyperfed.engines import Series
from hyperfed.errors import HyperfedError
from hyperfed.tables.vocabulary import Variable, Vocabulary

__all__ = ["FILES", "became", "table", "written"]

FILES = Path(__file__).parents[2] / "files"
VARIABLES = ("output", "employment", "unemployment")
VOCABULARIES = {
    "Größe": Vocabulary.of("Größe", "débit", "血圧"),
    "units": Vocabulary(
        (
            Variable("output", unit="EUR", low=-1e5, high=1e5),
            Variable("employment"),
            Variable("unemployment", low=0, high=100),
        )
    ),
    "year": Vocabulary.of("year", "output"),
}


def table() -> list[tuple[str, str, str]]:
    """Return the rows of the table: file with vocabulary, options, what it becomes."""
    lines = (FILES / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return [(file.strip("`"), said.strip("`"), becomes) for file, said, becomes in rows[2:]]


def options_of(words: str) -> dict[str, Any]:
    """Return what a command makes of options about the data."""

    @click.command()
    @source_options
    @click.pass_context
    def command(ctx: click.Context) -> dict[str, Any]:
        return given_source(ctx.ensure_object(Invocation).options)

    given: dict[str, Any] = command.main(shlex.split(words), standalone_mode=False)
    return given


def read(file: str, words: str) -> Series:
    name, _, vocabulary = file.partition(" with ")
    given = options_of(words) | {"file": FILES / name}
    settings = Settings(path=None, base=FILES).with_overrides(
        {f"data.{option}": value for option, value in given.items()}
    )
    source = read_source(settings, given)
    assert source is not None
    return read_data(source, VOCABULARIES.get(vocabulary) or Vocabulary.of(*VARIABLES))


def became(file: str, words: str) -> str:
    """Return what a file became, as the table says it."""
    try:
        series = read(file, words)
    except HyperfedError as exc:
        remedy = exc.remedy.split(". ")[0]
        return f"refused: {exc.problem}. {remedy}"
    said = series.document
    parts = [f"{said['rows']} rows"]
    if said["empty_rows"]:
        parts.append(f"{said['empty_rows']} empty")
    if said["period"]:
        parts.append(f"{said['period'][0]} to {said['period'][1]} by {said['step']}")
    if series.names != VARIABLES:
        parts.append(f"only {', '.join(series.names)}")
    parts += [f"{name} lacks {count}" for name, count in said["missing"].items()]
    parts += [f"{name} in {unit}" for name, unit in said["units"].items()]
    left = [name for name in series.left_out if name != series.time]
    parts += [f"left out: {', '.join(left)}"] if left else []
    return "; ".join([", ".join(parts), *series.notes])


def written() -> str:
    """Return the page with what each file becomes today."""
    lines = (FILES / "README.md").read_text(encoding="utf-8").splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("|"))
    last = max(at for at, line in enumerate(lines) if line.startswith("|"))
    rows = [(file, words) for file, words, _ in table()]
    named = {file.partition(" with ")[0] for file, _ in rows}
    there = {path.name for path in FILES.iterdir()} - {"README.md"}
    rows += [(name, "") for name in there - named]
    made = [
        f"| `{file}` | {f'`{words}`' if words else ''} | {became(file, words)} |"
        for file, words in sorted(rows)
        if file.partition(" with ")[0] in there
    ]
    return "\n".join([*lines[:first], *lines[first : first + 2], *made, *lines[last + 1 :]]) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        (FILES / "README.md").write_text(written(), encoding="utf-8")
    else:
        sys.stdout.write(written())
