"""The `hyperfed` command. `main` is the console script; a command's module is imported when it is run."""

from hyperfed.cli.app import app, main

__all__ = ["app", "main"]
