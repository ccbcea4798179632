"""Give the reference page's name to `hyperfed.privacy.guard`."""

from hyperfed.privacy.guard import *  # noqa: F403 - a one-line alias
from hyperfed.privacy.guard import __all__ as __all__
