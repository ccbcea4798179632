"""The reference page's name of `hyperfed.hierarchy.buffer`."""

from hyperfed.hierarchy.buffer import *  # noqa: F403 - a one-line alias
from hyperfed.hierarchy.buffer import __all__ as __all__
