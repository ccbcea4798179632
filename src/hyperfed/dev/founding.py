"""Found a demonstration federation for `hyperfed dev up`.

The federation has one root, one coordinator, and two US states as clients, each with a folder of
its own.

1. The federation is founded once. A folder that holds one is read and never changed. Its keys are
   made on this machine and are for trying out only.
2. Genesis lies one window back, at a whole window: round 1 has just ended, and round 2 is open.
   Both clients have submitted for round 1.
3. What `hyperfed --config` needs lies beside the keys: a hyperfed.toml for the operator, and one in
   each client's folder.

What it does not do: start servers (`stack`), or install blocks and deployments (`flows.service`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hyperfed.client.night import open_session, open_source, submit_update
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.crypto.keys import KeyPair
from hyperfed.demo import VARIABLES, series_csv
from hyperfed.dropbox.registries import publish_registry
from hyperfed.packets import PolicyPack
from hyperfed.packets.policy import DEFAULT_LAGS
from hyperfed.registry.registry import (
    ClientRecord,
    KeyRecord,
    Registry,
    root_fingerprint,
    sign_registry,
)
from hyperfed.storage.s3 import S3Credentials
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["BUCKET", "CLIENTS", "Founded", "found", "play_first_window", "write_settings"]

BUCKET = "hyperfed-dev"
"""The bucket that is the drop-box."""
CLIENTS = ("ohio", "texas")
"""The clients' ids."""
_GENESIS_FILE = "genesis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """Holds a federation that was founded, now or earlier."""

    folder: Path
    """The folder of its keys and settings."""
    fingerprint: str
    """Fingerprint of its root."""
    genesis: datetime
    """Start of round 1, as in the registry."""
    window_s: int
    """Length of a window in seconds, as in the registry."""
    new: bool
    """Whether it was founded just now."""


def found(folder: Path, store: ObjectStore, *, window_s: int, now: datetime) -> Founded:
    """Return the federation in `folder` and `store`, and found it where there is none."""
    key_files = {
        name: folder / "keys" / f"{name}.key" for name in ("root", "coordinator", *CLIENTS)
    }
    genesis_file = folder / _GENESIS_FILE
    if genesis_file.exists():
        genesis_text, window_text = genesis_file.read_text().split()
        root = KeyPair.load(key_files["root"])
        return Founded(
            folder=folder,
            fingerprint=root_fingerprint((root.public,), 1),
            genesis=datetime.fromisoformat(genesis_text),
            window_s=int(window_text),
            new=False,
        )
    pairs = {
        name: KeyPair.load(path) if path.exists() else KeyPair.generate()
        for name, path in key_files.items()
    }
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
        clients=tuple(
            ClientRecord(
                client_id=c,
                organisation=f"State of {c.title()}",
                keys=(KeyRecord(keys=pairs[c].public),),
            )
            for c in CLIENTS
        ),
    )
    publish_registry(store, sign_registry(registry, [pairs["root"]]))
    genesis_file.write_text(f"{genesis.isoformat()} {window_s}\n")
    return Founded(
        folder=folder,
        fingerprint=root_fingerprint(registry.roots, 1),
        genesis=genesis,
        window_s=window_s,
        new=True,
    )


def write_settings(founded: Founded, endpoint: str, credentials: S3Credentials) -> None:
    """Write the operator's hyperfed.toml, and each client's hyperfed.toml and data.

    They are written at every start, since the address of the store may have changed.
    """
    folder = founded.folder
    secret = folder / "keys" / "access-key.toml"
    secret.touch(mode=0o600)
    secret.write_text(
        f'access_key = "{credentials.access_key}"\nsecret_key = "{credentials.secret_key}"\n'
    )
    shared = f"""[store]
url = "s3://{BUCKET}"
endpoint = "{endpoint}"
access_key_file = "{secret}"

[federation]
fingerprint = "{founded.fingerprint}"
"""
    (folder / "hyperfed.toml").write_text(
        f"{shared}\n[coordinator]\nkey = "
        f'"{folder / "keys" / "coordinator.key"}"\n\n[root]\nkeys = '
        f'["{folder / "keys" / "root.key"}"]\n'
    )
    for client in CLIENTS:
        client_folder = folder / client
        client_folder.mkdir(exist_ok=True)
        (client_folder / "hyperfed.toml").write_text(
            f'{shared}\n[client]\nid = "{client}"\nkey = '
            f'"{folder / "keys" / (client + ".key")}"\nmemory = "{client_folder / "memory.json"}"\n'
        )
        (client_folder / "series.csv").write_text(series_csv(client))


def play_first_window(founded: Founded, store: ObjectStore) -> None:
    """Open round 1 and let both clients submit, so that there is a round to run.

    The clock is rehearsed: it stands an hour into the window, or half a window if that is less.
    """
    key_pair = KeyPair.load(founded.folder / "keys" / "coordinator.key")
    moment = founded.genesis + timedelta(seconds=min(3600, founded.window_s // 2))
    runner = RoundRunner(store, key_pair=key_pair, now=moment, fingerprint=founded.fingerprint)
    runner.open_round(
        1,
        policy=PolicyPack(lags=DEFAULT_LAGS),
        vocabulary=Vocabulary.of(*VARIABLES, domain="economics"),
    )
    for client in CLIENTS:
        config = founded.folder / client / "hyperfed.toml"
        submit_update(
            open_session(config),
            open_source(config, {"file": founded.folder / client / "series.csv"}),
            now=moment,
        )
