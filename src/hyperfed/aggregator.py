"""Give the reference page's name to `hyperfed.aggregation`."""

from hyperfed.aggregation import *  # noqa: F403 - a one-line alias
from hyperfed.aggregation import __all__ as __all__
