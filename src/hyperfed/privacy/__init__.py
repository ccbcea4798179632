"""Keep privacy budgets: `PrivacyGuard` checks every operation that spends."""

from hyperfed.privacy.guard import PrivacyBudgetExhausted, PrivacyGuard

__all__ = ["PrivacyBudgetExhausted", "PrivacyGuard"]
