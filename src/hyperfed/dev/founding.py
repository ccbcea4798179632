"""A demonstration federation for `hyperfed dev up`: one root, one coordinator, two US states as clients, each with its own folder.

1. It is founded once; a folder that holds one is read, never changed. Keys are made on this machine and are for trying out only.
2. Genesis lies one window back, at a whole window: round 1 has just ended, round 2 is open. Both clients have submitted for round 1.
3. What `hyperfed --config` needs lies beside the keys: hyperfed.toml of the operator, and one in each client's folder.

What it does not do: start servers (`stack`), install blocks or deployments (`flows.service`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hyperfed.adapters.s3 import S3Credentials
from hyperfed.cli.night import open_session, submit_update
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.demo import VARIABLES, series
from hyperfed.keys import KeyPair
from hyperfed.packets import PolicyPack
from hyperfed.registry import ClientRecord, KeyRecord, Registry, publish_registry, root_fingerprint, sign_registry
from hyperfed.store import ObjectStore
from hyperfed.vocabulary import Vocabulary

__all__ = ["BUCKET", "CLIENTS", "Founded", "found", "play_first_window", "write_settings"]

BUCKET = "hyperfed-dev"
CLIENTS = ("ohio", "texas")
_GENESIS_FILE = "genesis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """folder: of keys and settings; fingerprint: of the root; genesis, window_s: of the registry; new: whether it was founded just now."""

    folder: Path
    fingerprint: str
    genesis: datetime
    window_s: int
    new: bool


def found(folder: Path, store: ObjectStore, *, window_s: int, now: datetime) -> Founded:
    """The federation in `folder` and `store`, made where there is none."""
    key_files = {name: folder / "keys" / f"{name}.key" for name in ("root", "coordinator", *CLIENTS)}
    known = folder / _GENESIS_FILE
    if known.exists():
        genesis_text, window_text = known.read_text().split()
        root = KeyPair.load(key_files["root"])
        return Founded(
            folder=folder, fingerprint=root_fingerprint((root.public,), 1), genesis=datetime.fromisoformat(genesis_text), window_s=int(window_text), new=False
        )
    pairs = {name: KeyPair.load(path) if path.exists() else KeyPair.generate() for name, path in key_files.items()}
    for name, path in key_files.items():
        if not path.exists():
            pairs[name].save(path)
    span = timedelta(seconds=window_s)
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    genesis = day + ((now - day) // span) * span - span
    registry = Registry(
        federation="dev",
        version=1,
        previous=b"",
        issued=genesis,
        genesis=genesis,
        window_s=window_s,
        roots=(pairs["root"].public,),
        threshold=1,
        coordinators=(KeyRecord(keys=pairs["coordinator"].public),),
        clients=tuple(ClientRecord(client_id=c, organisation=f"State of {c.title()}", keys=(KeyRecord(keys=pairs[c].public),)) for c in CLIENTS),
    )
    publish_registry(store, sign_registry(registry, [pairs["root"]]))
    known.write_text(f"{genesis.isoformat()} {window_s}\n")
    return Founded(folder=folder, fingerprint=root_fingerprint(registry.roots, 1), genesis=genesis, window_s=window_s, new=True)


def write_settings(founded: Founded, endpoint: str, credentials: S3Credentials) -> None:
    """hyperfed.toml of the operator and of each client, data of each client; the address of the store may have changed since the last start."""
    folder = founded.folder
    secret = folder / "keys" / "access-key.toml"
    secret.touch(mode=0o600)
    secret.write_text(f'access_key = "{credentials.access_key}"\nsecret_key = "{credentials.secret_key}"\n')
    shared = f"""[store]
url = "s3://{BUCKET}"
endpoint = "{endpoint}"
access_key_file = "{secret}"

[federation]
fingerprint = "{founded.fingerprint}"
"""
    (folder / "hyperfed.toml").write_text(
        f'{shared}\n[coordinator]\nkey = "{folder / "keys" / "coordinator.key"}"\n\n[root]\nkeys = ["{folder / "keys" / "root.key"}"]\n'
    )
    for client in CLIENTS:
        own = folder / client
        own.mkdir(exist_ok=True)
        (own / "hyperfed.toml").write_text(
            f'{shared}\n[client]\nid = "{client}"\nkey = "{folder / "keys" / (client + ".key")}"\nmemory = "{own / "memory.json"}"\n'
        )
        rows = [",".join(VARIABLES), *(",".join(f"{value:.12g}" for value in row) for row in series(client))]
        (own / "series.csv").write_text("\n".join(rows) + "\n")


def play_first_window(founded: Founded, store: ObjectStore) -> None:
    """Open round 1 and let both clients submit, with the clock an hour (or half a window) into it: so that there is a round to run."""
    keys = KeyPair.load(founded.folder / "keys" / "coordinator.key")
    moment = founded.genesis + timedelta(seconds=min(3600, founded.window_s // 2))
    runner = RoundRunner(store, keys=keys, now=moment, fingerprint=founded.fingerprint)
    runner.open_round(1, policy=PolicyPack(), vocabulary=Vocabulary.of(*VARIABLES, domain="economics"))
    for client in CLIENTS:
        submit_update(open_session(founded.folder / client / "hyperfed.toml"), founded.folder / client / "series.csv", now=moment)
