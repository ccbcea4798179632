"""Count the shares of noise that protect a client of a secure sum (R-190, R-192).

1. Who may tell its share protects nobody. So the clients of helpers' organisations are left out,
   and of the others those of the m organisations with the most of them: m may collude, whichever
   they are. A client's own share is left out too.
2. Those who were invited and are not frozen have added nothing.
3. The roots' `together` is the fewest shares that a plan may count on. Beside them k + m
   organisations, helpers' not among them, must be there: blocks of clients are not needed then.

What it does not do: charge them (`privacy.moments`), or draw them (`secure_aggregation.noise`).
"""

from collections import Counter
from collections.abc import Sequence

from hyperfed.registry.records import ClientRecord
from hyperfed.registry.secure_sums import SecureSums, counted_organisations

__all__ = ["shares_left", "too_few_shares"]


def _others(
    rules: SecureSums, clients: Sequence[ClientRecord], counted: Sequence[str]
) -> Counter[str]:
    """Return how many of the counted clients each organisation has, but for helpers'."""
    organisation_of = counted_organisations(rules, clients)
    return Counter(organisation_of[c] for c in counted if organisation_of.get(c, ""))


def shares_left(rules: SecureSums, clients: Sequence[ClientRecord], counted: Sequence[str]) -> int:
    """Return how many shares protect each of the counted clients, 0 where none does."""
    sizes = sorted(_others(rules, clients, counted).values(), reverse=True)
    return max(0, sum(sizes[rules.colluding_clients :]) - 1)


def too_few_shares(
    rules: SecureSums, clients: Sequence[ClientRecord], counted: Sequence[str], *, least: int
) -> str:
    """Return in words why the counted clients may not be opened together, or "" (R-193).

    least: how many shares the round's plan counts on.
    """
    left, organisations = (
        shares_left(rules, clients, counted),
        len(_others(rules, clients, counted)),
    )
    if left < least:
        return (
            f"{left} shares of noise are left without helpers, those who may collude and the "
            f"client itself; the plan counts on {least}"
        )
    if organisations < rules.smallest:
        return f"{organisations} organisations beside helpers', and {rules.smallest} are needed"
    return ""
