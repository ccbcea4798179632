"""Give the reference page's name to `hyperfed.hierarchy.buffer`."""

from hyperfed.hierarchy.buffer import *  # noqa: F403 - a one-line alias
from hyperfed.hierarchy.buffer import __all__ as __all__
