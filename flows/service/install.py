"""Install what a coordinator needs on a Prefect server, or bring it up to date.

Running it again changes nothing that is as it should be.

1. Blocks come from the settings of the command. What nobody gave stays as the blocks on the server
   have it, where they are this federation's. Where they are not, vocabulary, quorum and policy are
   read from the newest signed plan, so that one command brings a new machine with nothing but the
   bucket and the keys back into service.
2. Deployments are those of deployments/prefect.yaml, made by Prefect's own command; rounds run by
   the registry's windows. Runs that are late or running stay (`flows.service.schedules`).
   Automations are those of deployments/automations.yaml. They notify whom they notified before,
   unless somebody else is named.
3. Secrets stay in files: the blocks hold paths.
4. Only housekeeping may erase, and by an access key of its own: where one is given, it gets a
   Drop-Box block of its own, and its deployment names that one, also after later installs.
5. A server that answers without a login is refused, unless the operator says that nobody else
   reaches it (R-140). The pool's job template leaves a run nothing to say (`flows.service.pool`).
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from blocks import CoordinatorKeys, DropBox, FederationPolicy, StageResults
from flows.server import check_authentication
from flows.service.automations import create_automations
from flows.service.pool import POOL, make_pool
from flows.service.schedules import apply_schedules
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import ConfigError
from hyperfed.operations.schedules import default_delay_s, schedules_of
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import parse_key
from hyperfed.protocol.objects import Plan

__all__ = ["POOL", "PREFECT_FILE", "Wanted", "install"]

PREFECT_FILE = "deployments/prefect.yaml"
"""The file of the deployments, below the checkout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Says what to install.

    A field of the rounds that is None or empty stays as it is on the server, else as it is in the
    newest plan, else as the blocks have it by default.
    """

    checkout: Path
    """Where flows and deployments are."""
    url: str
    """Address of the drop-box."""
    key_file: Path
    """The coordinator's key file."""
    fingerprint: str
    """The registry's root fingerprint."""
    endpoint: str | None = None
    """S3 endpoint of the drop-box."""
    region: str | None = None
    """S3 region of the drop-box."""
    addressing: str | None = None
    """Where the bucket's name stands: "path", "virtual" or "auto"."""
    ca_file: Path | None = None
    """File of certificates to trust instead of the system's."""
    access_key_file: Path | None = None
    """File with the store's access key; None: the environment decides."""
    housekeeping_key_file: Path | None = None
    """File with the access key by which housekeeping erases; None: as it is on the server."""
    name: str = "hyperfed"
    """Name of the blocks."""
    variables: tuple[str, ...] = ()
    """The vocabulary of the rounds to come."""
    domains: tuple[str, ...] = ()
    """The variables' domains, one each, or none."""
    units: dict[str, str] = field(default_factory=dict)
    """The units that variables are counted in, where they change."""
    ranges: dict[str, list[float | None]] = field(default_factory=dict)
    """The smallest and the largest plausible value of variables, where they change."""
    quorum: int | None = None
    """How many clients must be counted."""
    aggregation_delay_s: float | None = None
    """How long stragglers are awaited after the window, in seconds."""
    poll_s: float | None = None
    """How often the inbox is looked at meanwhile, in seconds."""
    policy: dict[str, Any] = field(default_factory=dict)
    """Fields of the policy pack that differ."""
    clients_by_link: tuple[str, ...] | None = None
    """The clients that get links with each round."""
    notify: tuple[str, ...] | None = None
    """Notification blocks, such as "custom-webhook/ops"; an empty tuple notifies nobody."""
    without_login: bool = False
    """Whether the operator accepts a server that answers everybody."""


def install(wanted: Wanted) -> dict[str, Any]:
    """Install what is wanted, and return what was made.

    Raises ConfigError, AccessDenied for a server that answers without a login, what the drop-box
    raises, and what Prefect raises where its server refuses.
    """
    if not wanted.without_login:
        check_authentication(str(PREFECT_API_URL.value()))
    if wanted.housekeeping_key_file is not None:
        _drop_box(wanted, wanted.housekeeping_key_file).open()  # refuses what it cannot read
    known_box, known_policy = _known(wanted)
    links = (
        wanted.clients_by_link
        if wanted.clients_by_link is not None
        else known_box.clients_by_link
        if known_box
        else ()
    )
    box = _drop_box(wanted, wanted.access_key_file, links)
    keys = CoordinatorKeys(key_file=str(wanted.key_file))
    reader = DropBoxReader(box.open(), fingerprint=wanted.fingerprint)
    registry, key_id = reader.registry, keys.load_keys().key_id
    if registry.coordinator_key(key_id, None) is None:
        raise ConfigError(
            f"key {key_id} is not a coordinator's in registry version {registry.version}",
            subject=str(wanted.key_file),
            rule="R-81",
            remedy="Add it with `hyperfed registry`: a new machine needs a new key, which the "
            "roots must name",
        )
    policy = _policy(wanted, reader, known_policy)
    schedules = schedules_of(
        genesis=registry.genesis,
        round_duration=registry.window_s,
        aggregation_delay=policy.aggregation_delay_s,
    )
    for kind in (DropBox, CoordinatorKeys, FederationPolicy, StageResults):
        kind.register_type_and_schema()
    for block in (box, keys, policy):
        block.save(wanted.name, overwrite=True)
    StageResults.beside(wanted.name, wanted.name)
    make_pool()
    began = datetime.now(UTC)
    _deploy(wanted.checkout)
    erases = _let_housekeeping_erase(wanted)
    applied = apply_schedules(schedules, since=began)
    automations = create_automations(
        wanted.checkout / "deployments" / "automations.yaml", notify=wanted.notify
    )
    return {
        "federation": registry.federation,
        "registry_version": registry.version,
        "blocks": wanted.name,
        "work_pool": POOL,
        "variables": len(policy.variables),
        "aggregation_delay_s": policy.aggregation_delay_s,
        "clients_by_link": box.clients_by_link,
        "housekeeping": erases,
        "schedules": applied,
        "automations": automations,
    }


def _drop_box(wanted: Wanted, access_key_file: Path | None, links: Sequence[str] = ()) -> DropBox:
    return DropBox(
        url=wanted.url,
        endpoint=wanted.endpoint,
        region=wanted.region,
        addressing=wanted.addressing,
        ca_file=str(wanted.ca_file) if wanted.ca_file else None,
        access_key_file=str(access_key_file) if access_key_file else None,
        fingerprint=wanted.fingerprint,
        clients_by_link=sorted(links),
    )


def _let_housekeeping_erase(wanted: Wanted) -> str:
    """Return the name of the Drop-Box block that housekeeping uses: its own, or the rounds'."""
    name, file = f"{wanted.name}-housekeeping", wanted.housekeeping_key_file
    if file is None:
        with suppress(ValueError):  # Prefect's answer where no block has this name
            known = DropBox.load(name)
            if known.fingerprint == wanted.fingerprint and known.access_key_file:
                file = Path(known.access_key_file)
    if file is None:
        return wanted.name
    _drop_box(wanted, file).save(name, overwrite=True)
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        deployed = client.read_deployment_by_name("housekeeping/housekeeping")
        if deployed.parameters.get("drop_box") == wanted.name:
            parameters = deployed.parameters | {"drop_box": name}
            client.update_deployment(deployed.id, DeploymentUpdate(parameters=parameters))
    return name


def _known(wanted: Wanted) -> tuple[DropBox | None, FederationPolicy | None]:
    """Return the blocks on the server, or None for both where they are not this federation's."""
    with suppress(ValueError):  # Prefect's answer where no block has this name
        box = DropBox.load(wanted.name)
        if box.fingerprint == wanted.fingerprint:
            return box, FederationPolicy.load(wanted.name)
    return None, None


def _policy(
    wanted: Wanted, reader: DropBoxReader, known: FederationPolicy | None
) -> FederationPolicy:
    base = known or _planned(reader)
    given: dict[str, Any] = {
        name: value
        for name in ("quorum", "aggregation_delay_s", "poll_s")
        if (value := getattr(wanted, name)) is not None
    }
    if wanted.variables:
        names = list(wanted.variables)
        given |= {"variables": names, "domains": list(wanted.domains)}
        given |= {
            kind: {name: said for name, said in getattr(base, kind).items() if name in names}
            for kind in ("units", "ranges")
        }
    for kind in ("units", "ranges"):
        given[kind] = given.get(kind, getattr(base, kind)) | getattr(wanted, kind)
    made = base.model_copy(update=given | {"policy": base.policy | wanted.policy})
    if base.variables and _about(made) != _about(base):  # the version grows with every change
        made = made.model_copy(update={"vocabulary_version": base.vocabulary_version + 1})
    if len(made.terms().vocabulary) < 2:
        raise ConfigError(
            "the rounds need a vocabulary, and there is no plan to take it from",
            subject="service install",
            remedy="Give --variables a,b,c",
        )
    return made


def _about(policy: FederationPolicy) -> tuple[Any, ...]:
    """Return what a vocabulary says beside its version."""
    return (
        policy.variables,
        policy.domains or [""] * len(policy.variables),
        policy.units,
        {name: list(ends) for name, ends in policy.ranges.items()},
    )


def _planned(reader: DropBoxReader) -> FederationPolicy:
    """Return what the newest plan says, or else the block's defaults.

    Stragglers are awaited for as long as fits the window.
    """
    plan, delay_s = _newest_plan(reader), default_delay_s(reader.registry.window_s)
    if plan is None:
        return FederationPolicy(aggregation_delay_s=delay_s)
    return FederationPolicy(
        **_vocabulary_of(plan),
        quorum=plan.quorum,
        policy=_differing(plan.policy),
        aggregation_delay_s=delay_s,
    )


def _newest_plan(reader: DropBoxReader) -> Plan | None:
    """Return the plan of the newest round that has one, or None."""
    keys = (parse_key(info.key) for info in reader.store.list("rounds/"))
    rounds = {key.round for key in keys if key.kind == "plan"}
    found = reader.plan(max(rounds)) if rounds else None
    return found.value if found else None


def _vocabulary_of(plan: Plan) -> dict[str, Any]:
    variables = plan.vocabulary.variables
    return {
        "variables": [v.name for v in variables],
        "domains": [v.domain for v in variables],
        "units": {v.name: v.unit for v in variables if v.unit},
        "ranges": {v.name: [v.low, v.high] for v in variables if (v.low, v.high) != (None, None)},
        "vocabulary_version": plan.vocabulary.version,
    }


def _differing(policy: PolicyPack) -> dict[str, Any]:
    said, default = asdict(policy), PolicyPack()
    differing = {
        f.name: said[f.name] for f in fields(PolicyPack) if said[f.name] != getattr(default, f.name)
    }
    differing["lags"] = list(policy.lags)  # a plan that names none stays one that names none
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in differing.items()
    }


def _deploy(checkout: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own arguments
        [
            sys.executable,
            "-m",
            "prefect",
            "--no-prompt",
            "deploy",
            "--all",
            "--prefect-file",
            PREFECT_FILE,
        ],
        cwd=checkout,
        env=os.environ | {"HYPERFED_CHECKOUT": str(checkout)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        text = " ".join((done.stderr or done.stdout).split())[-400:]
        raise ConfigError(
            f"prefect deploy failed: {text}",
            subject=PREFECT_FILE,
            remedy="Check PREFECT_API_URL and that the server runs",
        )
