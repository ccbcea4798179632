"""Give the reference page's name to `hyperfed.hierarchy.hierarchical`."""

from hyperfed.hierarchy.hierarchical import *  # noqa: F403 - a one-line alias
from hyperfed.hierarchy.hierarchical import __all__ as __all__
