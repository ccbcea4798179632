"""Fifty nights whose every byte is kept: plan, freeze, result, state, receipts and ledger lines.

    python -m tests.property.fifty_nights            # say which nights differ from the file
    python -m tests.property.fifty_nights --write    # write the file anew

`test_fifty_nights.py` compares. A change that is to leave behaviour as it is leaves the file as it
is; a change of a format or of a formula writes it anew and says why.

1. Each federation is a story (`fifty_stories`) of a few nights through the public session and
   runner, on a store in memory. Keys come from names, instants from genesis, what clients found
   from SHAKE-256: neither the Python nor the numpy in use can move them.
2. Randomness is drawn at four places, and `fixed_draws` answers at each: `secrets.token_bytes`
   (nonces), `nacl.utils.random` (data keys, their nonces), `nacl.bindings.crypto_box_seal` (its own
   key pair: here the same box is built around a pair that is given), and the coins of the discrete
   Gaussian. So sealed bytes are hashed as they are, and still open.
3. What zstd makes of bytes changes with its version. Here nothing is compressed: a part that zstd
   cannot shorten travels as it is, and here it can shorten none. Columns are cut into planes all
   the same.
4. Effects, confidences and weights are multiples of 1/64, of few bits: sums of them are exact in
   whatever order a processor adds. Rules that multiply matrices of inexact numbers (geometric
   median, centered clipping, smea) are left out: their last bits are the BLAS library's.
"""

import hashlib
import json
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nacl.bindings
import nacl.utils

from hyperfed.codec import planes
from hyperfed.operations.audit import audit
from hyperfed.privacy import discrete_gaussian
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation
from tests.property.fifty_stories import STORIES

KEPT = Path(__file__).with_suffix(".json")

# -- draws -----------------------------------------------------------------------------------------


class Draws:
    """Bytes that follow from a name and from how many this thread has drawn since `begin`.

    Other threads draw at random: what earlier tests left in this process, such as a client of
    Prefect's that masks its pings, must not count.
    """

    def __init__(self) -> None:
        self._name, self._count, self._thread = "", 0, threading.get_ident()

    def begin(self, name: str) -> None:
        self._name, self._count = name, 0

    def __call__(self, size: int) -> bytes:
        if threading.get_ident() != self._thread:
            return os.urandom(size)
        self._count += 1
        return hashlib.shake_256(f"{self._name}/{self._count}".encode()).digest(size)

    def sealed(self, message: bytes, public: bytes) -> bytes:
        """libsodium's crypto_box_seal, but for where its key pair comes from."""
        ours, secret = nacl.bindings.crypto_box_seed_keypair(self(32))
        nonce = hashlib.blake2b(ours + public, digest_size=24).digest()
        return ours + nacl.bindings.crypto_box(message, nonce, public, secret)


class _NeverShorter:
    def compress(self, data: bytes) -> bytes:
        return bytes(data) + b"\0"


class _Uncompressed(planes._Codecs):
    def __init__(self) -> None:
        super().__init__()
        self.plane = self.dull = self.text = _NeverShorter()


@contextmanager
def fixed_draws() -> Iterator[Draws]:
    """Rules 2 and 3 of the module."""
    draws = Draws()

    def tossed(coins: Any, random_bytes: object) -> None:
        coins._random_bytes = draws

    with ExitStack() as stack:
        for target, name, fixed in (
            (secrets, "token_bytes", draws),
            (nacl.utils, "random", draws),
            (nacl.bindings, "crypto_box_seal", draws.sealed),
            (discrete_gaussian._Coins, "__init__", tossed),
            (planes, "_codecs", _Uncompressed()),
        ):
            stack.enter_context(patch.object(target, name, fixed))
        yield draws


# -- what is kept ----------------------------------------------------------------------------------


def record(fed: SmallFederation, round_id: int) -> dict[str, str]:
    """How a night ended, and SHA-256 of what it wrote."""
    folder = fed.objects(f"rounds/{round_id:08d}/")
    lines = [c.entry for c in fed.reader().ledger() if c.entry.round == round_id]
    frozen = fed.reader().freeze(round_id)
    (end,) = (entry.kind for entry in lines if entry.kind is not EntryKind.RESERVE)
    counted, turned_away = (
        (len(frozen.value.counted), len(frozen.value.refused)) if frozen else (0, 0)
    )
    said = {"end": f"{end.value}, {counted} counted, {turned_away} refused"}
    for name in ("plan", "freeze", "result", "state"):
        data = folder.get(f"rounds/{round_id:08d}/{name}")
        said[name] = hashlib.sha256(data).hexdigest() if data is not None else ""
    receipts = {
        key: data
        for key, data in folder.items()
        if key.split("/")[2] in ("receipts", "receipt-pages")
    }
    ledger = {
        key: fed.objects(key)[key] for key in (Keys.ledger(entry.sequence) for entry in lines)
    }
    for name, several in (("receipts", receipts), ("ledger", ledger)):
        named = b"".join(
            key.encode() + hashlib.sha256(data).digest() for key, data in sorted(several.items())
        )
        said[name] = hashlib.sha256(named).hexdigest()
    return said


def play(look: Callable[[SmallFederation, int], None] | None = None) -> dict[str, dict[str, str]]:
    """Night -> its record. look: is shown each federation after its last night, and its last
    round.
    """
    nights: dict[str, dict[str, str]] = {}
    with fixed_draws() as draws:
        for story in STORIES:
            draws.begin(f"{story.__name__}/1")
            for fed, round_id in story():
                nights[f"{story.__name__}/{round_id:02d}"] = record(fed, round_id)
                draws.begin(f"{story.__name__}/{round_id + 1}")
            if look is not None:
                look(fed, round_id)
    return nights


def audited(fed: SmallFederation, last: int) -> None:
    """An auditor computes all of it again."""
    problems = audit(fed.store, fed.fingerprint, fed.auditors[0], limits=fed.limits).findings
    assert not problems, problems


def differing(nights: dict[str, dict[str, str]], kept: dict[str, dict[str, str]]) -> list[str]:
    """ "plain/03: freeze, result", the first first: what follows from it differs too."""
    names = sorted(nights.keys() | kept.keys(), key=lambda name: list(nights | kept).index(name))
    said = ((name, nights.get(name, {}), kept.get(name, {})) for name in names)
    return [
        f"{name}: {', '.join(k for k in now | then if now.get(k) != then.get(k))}"
        for name, now, then in said
        if now != then
    ]


def read() -> dict[str, dict[str, str]]:
    return dict(json.loads(KEPT.read_text()))


def write(nights: dict[str, dict[str, str]]) -> None:
    """One line a night."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(said)}" for name, said in nights.items())
    KEPT.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    made = play(audited)
    if "--write" in sys.argv:
        write(made)
        sys.stdout.write(f"{KEPT}: {len(made)} nights\n")
    else:
        sys.exit("\n".join(differing(made, read())) or None)
