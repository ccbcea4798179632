"""What the coordinator's flows begin with: blocks loaded, a runner at one instant, the round's number, and a name in the UI's list of runs."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect import get_client, runtime

from blocks import CoordinatorKeys, DropBox, FederationPolicy
from hyperfed.adapters.rehearsal import RehearsalStore
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.errors import ConfigError
from hyperfed.ledger_copy import LedgerCopy
from hyperfed.packets import PolicyPack
from hyperfed.protocol.objects import Plan
from hyperfed.store_probe import probe

__all__ = ["load_runner", "open_proven", "rename_run", "scheduled"]


def load_runner(drop_box: str, coordinator_keys: str, now: datetime | None, *, rehearse: bool = False) -> RoundRunner:
    """A coordinator, its clock read once. rehearse: what it writes stays in memory."""
    box, keys = DropBox.load(drop_box), CoordinatorKeys.load(coordinator_keys).load_keys()
    store = RehearsalStore(box.open()) if rehearse else box.open()
    copy = None if rehearse else LedgerCopy.in_cache(box.fingerprint)  # what a rehearsal appends is nobody's ledger
    return RoundRunner(store, keys=keys, now=now or datetime.now(UTC), fingerprint=box.fingerprint or None, copy=copy)


def scheduled(now: datetime | None, runner: RoundRunner) -> datetime:
    """The instant this run stands for: the rehearsed clock, or when the run was scheduled, which a Retry does not change."""
    planned = now or runtime.flow_run.scheduled_start_time or runner.now
    return datetime.fromtimestamp(planned.timestamp(), UTC)  # a worker's run gives pendulum's kind, which does not divide by a timedelta


def overridden(policy: FederationPolicy, overrides: dict[str, Any] | None) -> PolicyPack:
    """The policy pack with this run's overrides. Raises BoundsError for a value, ConfigError for a field that it does not know."""
    try:
        return replace(policy.pack(), **(overrides or {}))
    except TypeError as exc:
        known = ", ".join(PolicyPack.__dataclass_fields__)
        raise ConfigError("an override is no field of the policy pack", subject=", ".join(overrides or {})[:120], remedy=f"There are: {known}") from exc


def check_overrides(plan: Plan, overrides: dict[str, Any] | None) -> None:
    """A plan is signed: what it says can be repeated, not overridden. Raises ConfigError."""
    for name, value in (overrides or {}).items():
        said = getattr(plan.policy, name)
        if said != getattr(replace(plan.policy, **{name: value}), name):
            raise ConfigError(
                f"{name} is {said!r} in the signed plan, not {value!r:.60}",
                subject=f"round {plan.round}",
                rule="R-52",
                remedy="Clients have submitted under that plan. Override the policy of a round that is not open yet, or change the Federation Policy block",
            )


def open_proven(runner: RoundRunner, number: int, policy: FederationPolicy, overrides: dict[str, Any] | None, *, rehearse: bool = False) -> Plan:
    """The round's plan, created or adopted. Before the first object of a round is written the store proves that it honours create-only writes (R-1).

    Raises StoreUnsuitable, ConfigError.
    """
    if not rehearse and runner.reader.plan(number) is None:
        probe(runner.store)
    plan = runner.open_round(number, policy=overridden(policy, overrides), vocabulary=policy.vocabulary(), quorum=policy.quorum).value
    check_overrides(plan, overrides)
    return plan


def rename_run(name: str) -> None:
    """A name that says how the round went, for the UI's list of runs."""
    run = runtime.flow_run.id
    if run:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run, name=name)
