"""Say what a round's noise is, and what it is charged: by plan, registry and freeze.

1. The registry that the round was frozen under names the unit, or today's before the freeze.
2. With noise in shares, the registry says who helps and how many may collude, and the freeze who
   has added a share (R-192). Before the freeze, as many are counted on as the plan says.
3. Where the roots have signed another version since the plan, both are asked, and the fewer shares
   count (R-205): whoever turns out to belong to a helper protects nobody.
4. Helpers ask the newest version, too, so that nobody freezes under one that says more (R-210).

What it does not do: it does not compose charges (`privacy.accountant`), or read ledgers.
"""

from hyperfed.dropbox.openings import secure_sums_of
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.policy import release_of
from hyperfed.protocol.objects import Freeze, Plan
from hyperfed.registry.noise_shares import shares_left, too_few_shares
from hyperfed.registry.records import ClientRecord
from hyperfed.registry.secure_sums import SecureSums

__all__ = ["night_of", "shares_lost_since", "shares_of", "why_not_opened"]


def night_of(reader: DropBoxReader, plan: Plan, freeze: Freeze | None) -> PlannedRelease | None:
    """Return the noise of a round, or None where its policy asks for none.

    Raises PrivacyError where the night cannot be had.
    """
    registry = reader.registry if freeze is None else reader.registry_at(freeze.registry_version)
    shares = 0 if freeze is None else shares_of(reader, plan, freeze)
    return release_of(plan.policy, plan.vocabulary, registry.budget, shares=shares)


def shares_of(reader: DropBoxReader, plan: Plan, freeze: Freeze) -> int:
    """Return how many shares the round's noise is charged for; 0 where it is not in shares.

    It is never below 1: where none is left nothing is opened (`why_not_opened`), and what somebody
    reserved nevertheless is charged.
    """
    if plan.policy.privacy != "shares":
        return 0
    counted = [one.client for one in freeze.counted]
    views = _views(reader, plan, freeze)
    return max(1, min(shares_left(rules, clients, counted) for rules, clients in views))


def why_not_opened(reader: DropBoxReader, plan: Plan, freeze: Freeze) -> str:
    """Return in words why too few shares are in the frozen set, or "" (R-193)."""
    if plan.policy.privacy != "shares":
        return ""
    counted, least = [one.client for one in freeze.counted], plan.policy.noise_shares
    reasons = (
        too_few_shares(rules, clients, counted, least=least)
        for rules, clients in _views(reader, plan, freeze)
    )
    return next((reason for reason in reasons if reason), "")


def shares_lost_since(reader: DropBoxReader, plan: Plan, freeze: Freeze) -> str:
    """Return in words why the newest registry leaves less than a freeze is charged for, or "".

    It is asked before a sum is opened (R-210). Afterwards nothing is judged by what the roots learn
    later.
    """
    newest, charged = reader.registry, shares_of(reader, plan, freeze)
    if not charged:
        return ""
    rules = newest.secure_sums or secure_sums_of(reader.registry_at(plan.registry_version))
    counted = [one.client for one in freeze.counted]
    left = shares_left(rules, newest.clients, counted)
    problem = too_few_shares(rules, newest.clients, counted, least=plan.policy.noise_shares)
    if left < charged:
        problem = f"it is charged for {charged} shares of noise, and {left} are left"
    said = f"it was frozen under registry version {freeze.registry_version}"
    return f"{said}, and by version {newest.version} {problem}" if problem else ""


def _views(
    reader: DropBoxReader, plan: Plan, freeze: Freeze
) -> list[tuple[SecureSums, tuple[ClientRecord, ...]]]:
    """Return who helps, may collude and belongs together, by the plan and by the freeze (R-205)."""
    planned = reader.registry_at(plan.registry_version)
    rules, views = secure_sums_of(planned), [planned]
    if freeze.registry_version != plan.registry_version:
        views.append(reader.registry_at(freeze.registry_version))
    return [(registry.secure_sums or rules, registry.clients) for registry in views]
