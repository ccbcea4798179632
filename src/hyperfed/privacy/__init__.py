"""Privacy budgets: `PrivacyGuard` stands before every operation that spends."""

from hyperfed.privacy.guard import PrivacyGuard

__all__ = ["PrivacyGuard"]
