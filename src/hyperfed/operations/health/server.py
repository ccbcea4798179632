"""Say how a Prefect server stands, from facts that the application asked it for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hyperfed.operations.health.finding import Finding, Level

__all__ = ["ServerFacts", "server_findings"]

_WORKER_S = 180.0  # a worker of Prefect says every half a minute that it is there
_INSTALL = "`hyperfed service install` sets blocks, deployments, schedules and automations"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """Holds what a Prefect server says of this federation's deployments."""

    versions: tuple[str, str]
    """The version of Prefect here, and the server's."""
    schedules: Mapping[str, str]
    """Deployment -> what is wrong with its schedule; empty where it is as the windows ask."""
    worker_seen: datetime | None
    """When a worker of the pool was last heard of; None: never."""
    late: Sequence[str]
    """The late runs: deployment and instant."""
    paused: Mapping[str, str]
    """What is paused, so that no run begins -> the command that resumes it."""
    automations_off: Sequence[str]
    """The automations that end what a dead machine left, and that are missing or off."""


def server_findings(facts: ServerFacts, now: datetime) -> list[Finding]:
    """Return how schedules, the worker and the server's version stand."""
    wrong = [f"{name} {problem}" for name, problem in facts.schedules.items() if problem]
    schedules = Finding(
        name="schedules",
        level=Level.CRITICAL if wrong else Level.WARNING if facts.late else Level.GOOD,
        said="; ".join(wrong)
        or (
            f"late: {', '.join(facts.late[:5])}"
            if facts.late
            else f"{', '.join(facts.schedules)} run by the registry's windows"
        ),
        remedy=_INSTALL
        if wrong
        else "Start a worker, which takes up late runs: `hyperfed service worker`"
        if facts.late
        else "",
    )
    age_s = None if facts.worker_seen is None else (now - facts.worker_seen).total_seconds()
    there = age_s is not None and age_s < _WORKER_S
    worker = Finding(
        name="worker",
        level=Level.GOOD if there else Level.CRITICAL,
        said="never seen on this server"
        if age_s is None
        else f"heard of {max(age_s, 0):.0f} s ago",
        remedy="" if there else "Start it: `hyperfed service worker`, kept running by systemd",
    )
    if facts.paused:
        worker = Finding(
            name="worker",
            level=Level.CRITICAL,
            said=f"{' and '.join(facts.paused)}: paused, no run begins",
            remedy="Resume it: " + "; ".join(f"`{c}`" for c in facts.paused.values()),
        )
    off = ", ".join(facts.automations_off)
    automations = Finding(
        name="automations",
        level=Level.WARNING if off else Level.GOOD,
        said=f"missing or off: {off}; a run whose machine died would hold its slot for ever"
        if off
        else "runs whose machine dies are ended or scheduled again",
        remedy=_INSTALL if off else "",
    )
    here, server = facts.versions
    alike = here.split(".")[:2] == server.split(".")[:2]
    prefect = Finding(
        name="prefect",
        level=Level.GOOD if alike else Level.WARNING,
        said=f"{here} here, {server} on the server",
        remedy="" if alike else "Run the same minor version at both ends: server first, then here",
    )
    return [schedules, worker, automations, prefect]
