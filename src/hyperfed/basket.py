"""Give `hyperfed.protocol.baskets` the reference page's name."""

from hyperfed.protocol.baskets import *  # noqa: F403 - a one-line alias
from hyperfed.protocol.baskets import __all__ as __all__
