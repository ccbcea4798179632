"""Provide the `hyperfed` command.

`main` is the console script. A command's module is imported when the command runs.
"""

from hyperfed.cli.app import app, main

__all__ = ["app", "main"]
