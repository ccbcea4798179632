"""Define the classes of every command and group.

1. A command is named by "module:attribute" beside its one-line help. `--help` shows that line
   without importing the command, so that `hyperfed --help` stays fast. A test imports them all.
2. A misspelt command is answered with the nearest name.
3. The examples at the end of a docstring move to the end of the help, where they stay visible on a
   terminal.
4. A group without a command prints its help on stdout, and that is no error (`NO_COMMAND`).
"""

import difflib
import importlib
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

__all__ = ["NO_COMMAND", "Command", "Entry", "Group", "LazyGroup"]

_EXAMPLES = "\n\n\b\n"
NO_COMMAND: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What click raises for a group without a command.

It is an empty tuple before click 8.2, which prints the help by itself.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """Names a command that is not imported yet."""

    where: str
    """The command, as "module:attribute"."""
    help: str
    """The command's line in the group's help."""
    role: str = "Commands"
    """The heading under which that line stands."""


class _Ours(click.Command):
    """A command whose help ends with its docstring's examples, and whose errors name it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # click's parser sets no context where an option's value is missing
            error.ctx = error.ctx or ctx
            raise

    def _parts(self) -> tuple[str, str]:
        """Return what the docstring says, and the examples that it ends with."""
        text = inspect.cleandoc(self.help or "")
        description, mark, examples = text.rpartition(_EXAMPLES)
        return (
            (description, textwrap.dedent(examples))
            if mark and "\n\n" not in examples
            else (text, "")
        )

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        whole_help, self.help = self.help, self._parts()[0]
        try:
            super().format_help_text(ctx, formatter)
        finally:
            self.help = whole_help

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if examples := self._parts()[1]:
            with formatter.section("Examples"):
                formatter.write_text("\b\n" + examples)


class Command(_Ours):
    """Runs a command that has no commands below it."""


class Group(_Ours, click.Group):
    """Groups such commands, and answers a misspelt name with the nearest one."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of the code, not of the alphabet

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, command.get_short_help_str(limit=1000))
                    for name, command in self.commands.items()
                ]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        commands = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in commands:
            close = difflib.get_close_matches(args[0], commands, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """Groups commands that are imported when they run.

    `entries` maps each command's name to its Entry, in the order of the help.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = dict(entries)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for role in dict.fromkeys(entry.role for entry in self.entries.values()):
            with formatter.section(role):
                formatter.write_dl(
                    [
                        (name, entry.help)
                        for name, entry in self.entries.items()
                        if entry.role == role
                    ]
                )
