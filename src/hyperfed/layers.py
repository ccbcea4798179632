"""Give the reference page's name to `hyperfed.hierarchy.layers`."""

from hyperfed.hierarchy.layers import *  # noqa: F403 - a one-line alias
from hyperfed.hierarchy.layers import __all__ as __all__
