"""`install`: everything a coordinator needs on a Prefect server, made or brought up to date; running it again changes nothing that is as it should be.

1. Blocks come from the settings of the command. What nobody gave stays as the blocks on the server have it, where they are this federation's; else
   vocabulary, quorum and policy are read from the newest signed plan, so that a new machine with nothing but the bucket and the keys is back in service
   with one command.
2. Deployments are those of deployments/prefect.yaml, by Prefect's own command. Automations are those of deployments/automations.yaml.
   Whom they tell stays as it is unless somebody is named.
3. Secrets stay in files: the blocks hold paths.
"""

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from blocks import CoordinatorKeys, DropBox, FederationPolicy, StageResults
from flows.service.automations import create_automations
from hyperfed.dropbox import DropBoxReader
from hyperfed.errors import ConfigError
from hyperfed.packets import PolicyPack
from hyperfed.protocol.objects import Plan

__all__ = ["POOL", "PREFECT_FILE", "Wanted", "install"]

POOL = "hyperfed"
PREFECT_FILE = "deployments/prefect.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to install. url, endpoint, region, access_key_file, fingerprint: of the drop-box; key_file: the coordinator's; variables, domains, quorum: of the
    rounds to come; policy: fields of the policy pack that differ; clients_by_link: who gets links with each round; notify: notification blocks, such as
    "custom-webhook/ops". None or empty: as it is on the server, else as in the newest plan, else the blocks' defaults; an empty tuple for notify: nobody.
    """

    checkout: Path
    url: str
    key_file: Path
    fingerprint: str
    endpoint: str | None = None
    region: str | None = None
    access_key_file: Path | None = None
    name: str = "hyperfed"
    variables: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    quorum: int | None = None
    aggregation_delay_s: float | None = None
    poll_s: float | None = None
    policy: dict[str, Any] = field(default_factory=dict)
    clients_by_link: tuple[str, ...] | None = None
    notify: tuple[str, ...] | None = None


def install(wanted: Wanted) -> dict[str, Any]:
    """Install; what was made. Raises ConfigError, HyperfedError of the drop-box, and what Prefect says where its server refuses."""
    known_box, known_policy = _known(wanted)
    links = wanted.clients_by_link if wanted.clients_by_link is not None else known_box.clients_by_link if known_box else ()
    box = DropBox(
        url=wanted.url,
        endpoint=wanted.endpoint,
        region=wanted.region,
        access_key_file=str(wanted.access_key_file) if wanted.access_key_file else None,
        fingerprint=wanted.fingerprint,
        clients_by_link=sorted(links),
    )
    keys = CoordinatorKeys(key_file=str(wanted.key_file))
    reader = DropBoxReader(box.open(), fingerprint=wanted.fingerprint)
    registry, key_id = reader.registry, keys.load_keys().key_id
    if registry.coordinator_key(key_id, None) is None:
        raise ConfigError(
            f"key {key_id} is not a coordinator's in registry version {registry.version}",
            subject=str(wanted.key_file),
            rule="R-81",
            remedy="Add it with `hyperfed registry`: a new machine needs a new key, which the roots must name",
        )
    policy = _policy(wanted, reader, known_policy)
    for kind in (DropBox, CoordinatorKeys, FederationPolicy, StageResults):
        kind.register_type_and_schema()
    for block in (box, keys, policy):
        block.save(wanted.name, overwrite=True)
    StageResults.beside(wanted.name, wanted.name)
    _make_pool()
    _deploy(wanted.checkout)
    automations = create_automations(wanted.checkout / "deployments" / "automations.yaml", notify=wanted.notify)
    return {
        "federation": registry.federation,
        "registry_version": registry.version,
        "blocks": wanted.name,
        "work_pool": POOL,
        "variables": len(policy.variables),
        "aggregation_delay_s": policy.aggregation_delay_s,
        "clients_by_link": box.clients_by_link,
        "automations": automations,
    }


def _known(wanted: Wanted) -> tuple[DropBox | None, FederationPolicy | None]:
    """The blocks that are on the server, where they are this federation's."""
    with suppress(ValueError):  # Prefect's answer where no block has this name
        box = DropBox.load(wanted.name)
        if box.fingerprint == wanted.fingerprint:
            return box, FederationPolicy.load(wanted.name)
    return None, None


def _policy(wanted: Wanted, reader: DropBoxReader, known: FederationPolicy | None) -> FederationPolicy:
    base = known or _planned(reader)
    given: dict[str, Any] = {name: value for name in ("quorum", "aggregation_delay_s", "poll_s") if (value := getattr(wanted, name)) is not None}
    if wanted.variables:
        given |= {"variables": list(wanted.variables), "domains": list(wanted.domains)}
    made = base.model_copy(update=given | {"policy": base.policy | wanted.policy})
    made.pack()
    if len(made.vocabulary()) < 2:
        raise ConfigError("the rounds need a vocabulary, and there is no plan to take it from", subject="service install", remedy="Give --variables a,b,c")
    return made


def _planned(reader: DropBoxReader) -> FederationPolicy:
    """What the newest plan says, else the block's defaults."""
    plan = _newest_plan(reader)
    return FederationPolicy(**_vocabulary_of(plan), quorum=plan.quorum, policy=_differing(plan.policy)) if plan else FederationPolicy()


def _newest_plan(reader: DropBoxReader) -> Plan | None:
    """The plan of the newest round that has one."""
    rounds = {int(info.key.split("/")[1]) for info in reader.store.list("rounds/") if info.key.endswith("/plan")}
    found = reader.plan(max(rounds)) if rounds else None
    return found.value if found else None


def _vocabulary_of(plan: Plan) -> dict[str, Any]:
    variables = plan.vocabulary.variables
    return {"variables": [v.name for v in variables], "domains": [v.domain for v in variables], "vocabulary_version": plan.vocabulary.version}


def _differing(policy: PolicyPack) -> dict[str, Any]:
    said, default = asdict(policy), PolicyPack()
    differing = {f.name: said[f.name] for f in fields(PolicyPack) if said[f.name] != getattr(default, f.name)}
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in differing.items()}


def _make_pool() -> None:
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", description="Hyperfed's flows, as processes on the coordinator's machine"))


def _deploy(checkout: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", PREFECT_FILE],
        cwd=checkout,
        env=os.environ | {"HYPERFED_CHECKOUT": str(checkout)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        text = " ".join((done.stderr or done.stdout).split())[-400:]
        raise ConfigError(f"prefect deploy failed: {text}", subject=PREFECT_FILE, remedy="Check PREFECT_API_URL and that the server runs")
