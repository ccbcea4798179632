"""What two commands share is defined once, in `cli.options`."""

import ast
from collections import Counter
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hyperfed import cli
from hyperfed.cli.options import add_options, last_option, nights_option

CLI = Path(str(cli.__file__)).parent


def test_no_option_is_written_twice() -> None:
    calls = [
        ast.unparse(node)
        for file in sorted(CLI.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("click.option", "setting_option")
    ]
    assert len(calls) > 80
    assert [call for call, count in Counter(calls).items() if count > 1] == []


def test_the_type_of_a_file_is_written_once() -> None:
    files = [file.name for file in CLI.rglob("*.py") if "click.Path(" in file.read_text("utf-8")]
    assert files == ["options.py"]


def test_options_are_listed_in_the_order_in_which_they_are_added() -> None:
    def command() -> None:
        """A command."""

    options = [click.option(name) for name in ("--a", "--b", "--c")]
    listed = click.command()(add_options(command, *options))
    assert [option.opts for option in listed.params] == [["--a"], ["--b"], ["--c"]]


@pytest.mark.parametrize(("default", "code"), [(3, 0), (None, 2)])
def test_nights_are_required_where_there_is_no_default(default: int | None, code: int) -> None:
    @click.command()
    @nights_option(30, "How many.", default=default)
    @last_option(7, "Of how many.")
    def command(nights: int, last: int) -> None:
        click.echo(f"{nights} {last}")

    ran = CliRunner().invoke(command, [])
    assert (ran.exit_code, ran.stdout) == (code, "" if code else "3 7\n")
    assert CliRunner().invoke(command, ["--nights", "31"]).exit_code == 2
