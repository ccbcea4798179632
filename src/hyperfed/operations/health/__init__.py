"""Check the health of a client or of the operator: `health`.

What is checked follows from what the settings name. A client's key calls for a client's checks, a
coordinator's for the operator's, and both may stand in one file.

1. Every check gives a finding with a level and, unless it is good, a remedy. A check never raises:
   what it cannot find out is a finding too.
2. Where the registry cannot be read, what rests on it is left out, and the machine's own checks
   remain.
3. One object is written, at most once a day and place (`stores`). Nothing else changes.

What it does not do: ask Prefect (the application hands its facts in), or test every rule of a store
(`hyperfed check store`).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from hyperfed.client.opening import Opening
from hyperfed.errors import ConfigError, HyperfedError, PacketError, RegistryError, SchemaError
from hyperfed.operations.health.finding import EXIT_CODES, Finding, Level, worst
from hyperfed.operations.health.keys import key_finding, links_finding, registry_finding
from hyperfed.operations.health.machine import disk_finding, versions_said
from hyperfed.operations.health.rounds import (
    budget_finding,
    opened_finding,
    rounds_finding,
    updates_finding,
)
from hyperfed.operations.health.server import ServerFacts, server_findings
from hyperfed.operations.health.stores import clock_finding, key_of_check, store_finding
from hyperfed.registry.registry import Registry
from hyperfed.storage.local_files import state_folder

__all__ = [
    "EXIT_CODES",
    "Finding",
    "Level",
    "ServerFacts",
    "health",
    "server_findings",
    "worst",
]

_NO_SERVER = Finding(
    name="schedules",
    level=Level.UNKNOWN,
    said="no Prefect server is named here: schedules and the worker were not looked at",
    remedy="Set PREFECT_API_URL and PREFECT_API_AUTH_STRING as the worker has them. Without "
    "Prefect, [rounds] in hyperfed.toml says what `hyperfed round` runs",
)
AskServer = Callable[[Registry], ServerFacts]
"""Asks a Prefect server about the deployments of a registry's federation. Raises HyperfedError."""


def health(opening: Opening, *, ask_server: AskServer | None = None) -> list[Finding]:
    """Return the findings, in the order in which each rests on those before.

    `ask_server` is None where no Prefect server is named, or this is not the operator's machine. An
    operator who names no server, and has not said in [rounds] that none is needed, hears of it.
    """
    settings = opening.settings
    client = settings.text("client.id")
    coordinator_key = settings.file("coordinator.key")
    findings: list[Finding] = []
    registry = _registry(opening, findings)
    running = _running(registry, opening)
    client_key = settings.file("client.key") if client is not None else None
    for path, whose in ((client_key, client), (coordinator_key, None)):
        if path is not None:
            name = "client key" if whose is not None else "coordinator key"
            findings.append(key_finding(registry, path, name=name, client=whose, running=running))
    if registry is not None:
        key = key_of_check(
            client=client,
            coordinator=coordinator_key is not None,
            links=opening.link_chain is not None,
            now=opening.now(),
        )
        findings += [store_finding(opening.store, key), clock_finding(opening.store)]
        if opening.link_chain is not None:
            findings.append(links_finding(opening.link_chain.links, registry, opening.now()))
        findings.append(registry_finding(registry, opening.now()))
        findings += _rounds(opening, registry, client, coordinator_key)
        if ask_server is not None:
            findings += _server(opening, registry, ask_server)
        elif coordinator_key is not None and "rounds.variables" not in settings.values:
            findings.append(_NO_SERVER)
    findings.append(disk_finding(_folders(opening)))
    if not any(finding.name == "versions" for finding in findings):
        findings.append(Finding(name="versions", level=Level.GOOD, said=versions_said()))
    return findings


def _registry(opening: Opening, findings: list[Finding]) -> Registry | None:
    """Return the registry; where it cannot be read, add why under the check that it belongs to."""
    try:
        return opening.reader.registry
    except HyperfedError as error:
        findings.append(_unreadable(error))
        return None


def _unreadable(error: HyperfedError) -> Finding:
    """Return why the drop-box cannot be read, as a finding."""
    if _of_another_version(error):
        finding = Finding.of_error("versions", error)
        said = f"{finding.said}; here is {versions_said()}"
        remedy = finding.remedy or "Install the version that the federation runs"
        return Finding(name="versions", level=Level.CRITICAL, said=said, remedy=remedy)
    signed = isinstance(error, RegistryError | PacketError)
    return Finding.of_error("registry" if signed else "store", error)


def _of_another_version(error: HyperfedError) -> bool:
    """Return whether an object is of a version that is not read here, and not merely broken."""
    return isinstance(error, SchemaError) and error.rule == "R-12"


def _running(registry: Registry | None, opening: Opening) -> int:
    if registry is None or opening.now() < registry.genesis:
        return 1
    return registry.windows.round_at(opening.now())


def _rounds(
    opening: Opening, registry: Registry, client: str | None, coordinator_key: Path | None
) -> Iterator[Finding]:
    """Yield what rests on ledger, plan and receipts."""
    checks: dict[str, Callable[[], Finding | None]] = {
        "rounds": lambda: rounds_finding(
            registry,
            opening.reader.ledger(),
            opening.now(),
            store=opening.store if coordinator_key is not None else None,
        ),
        "plan": lambda: opened_finding(
            opening.reader, opening.now(), may_open=coordinator_key is not None
        ),
    }
    if client is not None and opening.settings.fingerprint is not None:
        checks["updates"] = lambda: updates_finding(opening.session(signing=False))
    if coordinator_key is not None:
        checks["budget"] = lambda: budget_finding(opening.reader, registry, opening.reader.ledger())
    for name, check in checks.items():
        try:
            finding = check()
        except HyperfedError as error:
            other = _of_another_version(error)
            finding = _unreadable(error) if other else Finding.of_error(name, error)
        if finding is not None:
            yield finding


def _server(opening: Opening, registry: Registry, ask_server: AskServer) -> list[Finding]:
    try:
        return server_findings(ask_server(registry), opening.now())
    except HyperfedError as error:
        return [Finding.of_error("schedules", error)]


def _folders(opening: Opening) -> Iterator[Path | None]:
    """Yield the folders that the settings name and that are written into."""
    settings = opening.settings
    yield state_folder()
    key = settings.file("client.key")
    memory = settings.file("client.memory") or key
    yield memory.parent if memory is not None else None
    if key is not None or settings.file("coordinator.key") is not None:
        with suppress(ConfigError):  # which the store's own finding tells
            yield opening.share
