"""Give the reference page's name to `hyperfed.protocol.baskets`."""

from hyperfed.protocol.baskets import *  # noqa: F403 - a one-line alias
from hyperfed.protocol.baskets import __all__ as __all__
