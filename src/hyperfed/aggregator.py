"""The reference page's name of `hyperfed.aggregation`."""

from hyperfed.aggregation import *  # noqa: F403 - a one-line alias
from hyperfed.aggregation import __all__ as __all__
