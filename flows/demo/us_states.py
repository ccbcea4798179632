"""Make the demonstration's parties: a root, a coordinator and 48 states, each with its own key.

The registry that names them, the blocks and a configuration are made here, too.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hyperfed.coordinator.opening import RoundTerms
from hyperfed.crypto.keys import KeyPair
from hyperfed.demo import VARIABLES, states
from hyperfed.dropbox.registries import publish_registry
from hyperfed.errors import ConfigError
from hyperfed.packets import PolicyPack
from hyperfed.registry.registry import (
    Budget,
    ClientRecord,
    KeyRecord,
    Registry,
    root_fingerprint,
    sign_registry,
)
from hyperfed.storage.s3 import S3Credentials
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.vocabulary import Variable, Vocabulary

__all__ = [
    "BLOCK",
    "BUCKET",
    "Federation",
    "demo_policy",
    "found",
    "noises_sums",
    "save_blocks",
    "terms_policy",
    "write_config",
]

BUCKET = BLOCK = "hyperfed-demo"
"""Name of the bucket, and of the three blocks."""
RANGES = {
    "public_capital": (-0.04, 0.08),
    "private_capital": (-0.07, 0.13),
    "output": (-0.09, 0.15),
    "employment": (-0.08, 0.13),
    "unemployment": (-4.5, 4.5),
}
"""Where a year's change of each variable plausibly lies, as anybody may know without the data."""
ROW_NORM = 0.5
"""The norm to which a state clips a year, in halves of these ranges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """Holds the demonstration's federation."""

    folder: Path
    """The folder of this run."""
    registry: Registry
    """The published registry."""
    fingerprint: str
    """Fingerprint of the registry's root."""
    vocabulary: Vocabulary
    """The variables of all rounds."""
    keys: dict[str, KeyPair]
    """Key pair of each state."""


def found(
    folder: Path, store: ObjectStore, nights: int, *, policy: dict[str, Any] | None = None
) -> Federation:
    """Make keys for everyone, and publish one signed registry that names them.

    Windows are the last `nights` days, so that the last one has just ended. `policy` is the
    demonstration's: where it noises sums, the budget protects records, and variables have a
    plausible range, whose middle and width are what centres and scales their rows.
    """
    sums = noises_sums(policy or {})
    root, coordinator = KeyPair.generate(), KeyPair.generate()
    keys = {state: KeyPair.generate() for state in states()}
    root.save(folder / "keys" / "root.key")
    coordinator.save(folder / "keys" / "coordinator.key")
    for state, pair in keys.items():
        pair.save(folder / "keys" / f"{state}.key")
    genesis = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
        days=nights
    )
    clients = (
        ClientRecord(
            client_id=state,
            organisation=f"State of {state.replace('-', ' ').title()}",
            keys=(KeyRecord(keys=keys[state].public),),
        )
        for state in states()
    )
    registry = Registry(
        federation="us-states",
        version=1,
        previous=b"",
        issued=genesis,
        genesis=genesis,
        window_s=86_400,
        roots=(root.public,),
        threshold=1,
        coordinators=(KeyRecord(keys=coordinator.public),),
        clients=tuple(clients),
        budget=Budget(unit="record" if sums else "client"),
    )
    publish_registry(store, sign_registry(registry, [root]))
    fingerprint = root_fingerprint(registry.roots, registry.threshold)
    return Federation(
        folder=folder,
        registry=registry,
        fingerprint=fingerprint,
        vocabulary=_ranged() if sums else Vocabulary.of(*VARIABLES, domain="economics"),
        keys=keys,
    )


def _ranged() -> Vocabulary:
    """Return the variables with the plausible range of a year's change."""
    return Vocabulary(
        variables=tuple(
            Variable(name=name, domain="economics", low=low, high=high)
            for name, (low, high) in RANGES.items()
        )
    )


def noises_sums(policy: dict[str, Any]) -> bool:
    """Return whether a policy noises sums of statistics."""
    return policy.get("payload") == "statistics" and policy.get("privacy", "none") != "none"


def demo_policy(privacy: str, nights: int, *, payload: str = "edges") -> dict[str, Any]:
    """Return the policy of a demonstration, in which the states' years are looked at with lag 1.

    Raises ConfigError where votes are asked for beside noised sums.

    In private nights of votes every possible edge of lag 0 and 1 is noised; in those of statistics
    every moment. An epsilon of 3 a night fits eight times into the budget, and one of 1 often
    enough.
    """
    if privacy == "none":
        return {"lags": [1], **({} if payload == "edges" else {"payload": payload})}
    if payload == "both":
        raise ConfigError(
            f"--payload both and --privacy {privacy}: votes beside noised sums would tell what "
            "the noise hides",
            subject="demo",
            remedy="Take --payload edges or --payload statistics",
        )
    noised = {
        "privacy": privacy,
        "strategy": "mean",
        "trust_min": 0.0,
        "privacy_epsilon": "3" if nights < 9 else "1",
    }
    if payload == "edges":
        return noised | {"lags": [0, 1]}
    return noised | {
        "payload": payload,
        "lags": [1],
        "max_staleness": 0,
        "statistics": {"engine": "var", "row_norm": ROW_NORM, "centring": "public"},
    }


def terms_policy(policy: dict[str, Any]) -> PolicyPack:
    """Return the policy pack that a plan of these fields states."""
    return RoundTerms.of(variables=VARIABLES, policy=policy).policy


def save_blocks(
    federation: Federation, endpoint: str, *, policy: dict[str, Any] | None = None
) -> None:
    """Save the three blocks that the flows load in Prefect's database.

    `policy` has the fields that differ from the default.
    """
    from blocks import CoordinatorKeys, DropBox, FederationPolicy

    keys = (federation.folder / "keys").resolve()
    box = DropBox(
        url=f"s3://{BUCKET}",
        endpoint=endpoint,
        access_key_file=str(keys / "access-key.toml"),
        fingerprint=federation.fingerprint,
    )
    box.save(BLOCK, overwrite=True)
    CoordinatorKeys(key_file=str(keys / "coordinator.key")).save(BLOCK, overwrite=True)
    FederationPolicy(
        variables=list(VARIABLES),
        domains=["economics"] * len(VARIABLES),
        ranges={
            one.name: [one.low, one.high]
            for one in federation.vocabulary.variables
            if one.low is not None
        },
        aggregation_delay_s=0.0,
        policy=policy or {},
    ).save(BLOCK, overwrite=True)


def write_config(federation: Federation, endpoint: str, credentials: S3Credentials) -> None:
    """Write a configuration for the `hyperfed` command, as the client texas and as the coordinator.

    The access key is in a file of mode 0600.
    """
    secret = federation.folder / "keys" / "access-key.toml"
    secret.touch(mode=0o600)
    secret.write_text(
        f'access_key = "{credentials.access_key}"\nsecret_key = "{credentials.secret_key}"\n'
    )
    text = f"""# The demonstration's drop-box, seen as the client "texas".
# The server runs only while `hyperfed demo --keep` does.
[store]
url = "s3://{BUCKET}"
endpoint = "{endpoint}"
access_key_file = "keys/access-key.toml"

[federation]
fingerprint = "{federation.fingerprint}"

[client]
id = "texas"
key = "keys/texas.key"
memory = "memory/texas.json"

[coordinator]
key = "keys/coordinator.key"
"""
    (federation.folder / "hyperfed.toml").write_text(text)
