"""Make docs/reference/cli.md from the commands themselves, in the order of `hyperfed --help`."""

import inspect
import re
import textwrap
from collections.abc import Iterator

import click

from hyperfed.cli.app import app
from reference.source import paragraph

__all__ = ["cli_page"]

_INTRO = """\
# The command

    hyperfed --help

Three options are not repeated below, because nearly every command takes them. `--json` prints the
answer as a document, `--debug` shows the traceback of an error, and `--config` names another
`hyperfed.toml`. [Errors](errors.md) lists the exit codes.
"""


def cli_page() -> str:
    parts = [_INTRO]
    for name, command in _commands(app, "hyperfed"):
        parts.append(_section(name, command))
    return "\n".join(parts)


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(f"{path} lists {name} and has no such command")
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


def _section(path: str, command: click.Command) -> str:
    depth = "##" if path.count(" ") == 1 else "###"
    lines = [f"{depth} {path}", "", *_described(command.help or "")]
    given = [one for one in command.params if isinstance(one, click.Argument)]
    if given or not isinstance(command, click.Group):
        words = " ".join(one.make_metavar(click.Context(command)) for one in given)
        lines += ["    " + " ".join(filter(None, [path, "[OPTIONS]", words])), ""]
    options = [_option(one) for one in command.params if isinstance(one, click.Option)]
    if options:
        lines += [*filter(None, options), ""]
    return "\n".join(lines)


def _described(text: str) -> Iterator[str]:
    """Yield a docstring's paragraphs; those that click keeps as they are become code."""
    for block in inspect.cleandoc(text).split("\n\n"):
        kept, lines = block.startswith("\b"), block.removeprefix("\b").strip("\n")
        if kept:
            yield textwrap.indent(textwrap.dedent(lines), "    ")
        else:
            yield paragraph(_safe(lines))
        yield ""


def _option(one: click.Option) -> str:
    if one.hidden or "--json" in one.opts or "--debug" in one.opts or "--config" in one.opts:
        return ""
    names = ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])
    said = [] if one.is_flag else [_values(one)]
    said += ["required"] if one.required else []
    said += ["repeatable"] if one.multiple else []
    if type(one.default) in (int, float, str) and one.default != "" and not one.is_flag:
        said.append(f"default `{one.default}`")
    more = f" ({', '.join(said)})" if said else ""
    return paragraph(f"{names}{more}: {_safe(one.help or '')}", "- ", "  ")


def _values(one: click.Option) -> str:
    if isinstance(one.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in one.type.choices)
    return one.metavar or one.type.name.upper()


def _safe(text: str) -> str:
    return re.sub(r"([<>\[\]*|])", r"\\\1", " ".join(text.split()))
