"""Give `hyperfed.privacy.guard` the reference page's name."""

from hyperfed.privacy.guard import *  # noqa: F403 - a one-line alias
from hyperfed.privacy.guard import __all__ as __all__
