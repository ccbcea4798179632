"""What the documents that speak of every client cost at N clients: bytes, seconds to write and to
read, and the memory of reading.

    python benchmarks/documents.py [--clients 100000]

Registry (version 2: the first is read before its roots are known, and bounded as anybody's
document), plan, freeze and state, each made of its real types. Memory is what reading allocates at
its peak, counted by tracemalloc in a run of its own: it slows reading five times.
"""

import argparse
import hashlib
import sys
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hyperfed.codec import PayloadCodec
from hyperfed.config import DEFAULT_LIMITS
from hyperfed.packets import PolicyPack
from hyperfed.protocol.objects import ClientState, Counted, Freeze, Plan, RoundState
from hyperfed.registry.registry import ClientRecord, KeyRecord, Registry
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import key_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def documents(clients: int) -> dict[str, Callable[[], Any]]:
    """name -> what makes it."""
    ids = [f"site-{i:06d}" for i in range(clients)]
    digests = [hashlib.sha256(name.encode()).digest() for name in ids]
    keys = [KeyRecord(keys=key_of(name).public) for name in ids]
    root = key_of("root")
    shared: dict[str, Any] = {"federation": "large-fed", "round": 9}
    return {
        "registry": lambda: Registry(
            federation="large-fed",
            version=2,
            previous=bytes(32),
            issued=START,
            genesis=START,
            window_s=86_400,
            roots=(root.public,),
            threshold=1,
            coordinators=(KeyRecord(keys=key_of("coordinator").public),),
            clients=tuple(
                ClientRecord(client_id=c, organisation=f"{c} ltd", keys=(k,))
                for c, k in zip(ids, keys, strict=True)
            ),
        ),
        "plan": lambda: Plan(
            **shared,
            registry_version=2,
            registry_digest=bytes(32),
            newest_commit_round=8,
            newest_commit=bytes(32),
            policy=PolicyPack(),
            vocabulary=Vocabulary.of("a", "b"),
            cohort=tuple(ids),
            quorum=clients // 2 + 1,
            opens=START,
            deadline=START + timedelta(days=1),
            close_by=START + timedelta(days=2),
            organisations=tuple((c, f"{c} ltd") for c in ids),
        ),
        "freeze": lambda: Freeze(
            **shared,
            plan=bytes(32),
            registry_version=2,
            registry_digest=bytes(32),
            base_round=8,
            base_state=bytes(32),
            counted=tuple(
                Counted(client=c, made_for=9, slot=0, sequence=9, digest=d)
                for c, d in zip(ids, digests, strict=True)
            ),
            refused=(),
            excluded=(),
            claim_sequence=16,
            claim_digest=bytes(32),
            merkle_head=bytes(32),
            time=START,
            packs=tuple(digests[::2]),  # two updates a pack
            in_pack=tuple(i // 2 for i in range(len(ids))),
        ),
        "state": lambda: RoundState(
            **shared,
            freeze=bytes(32),
            result=bytes(32),
            base_state=bytes(32),
            clients=tuple(
                ClientState(
                    client=c,
                    highest_sequence=9,
                    windows=tuple(range(1, 10)),
                    last_round=9,
                    last_digest=d,
                    alpha=9.5,
                    beta=1.25,
                    rounds_seen=9,
                    rounds_missed=0,
                    weight=0.75,
                    agreement=0.5,
                )
                for c, d in zip(ids, digests, strict=True)
            ),
        ),
    }


def run(*, quick: bool, clients: int = 100_000) -> list[dict[str, Any]]:
    """One entry a document; `quick` takes a hundredth of the clients."""
    codec, out = PayloadCodec(limits=DEFAULT_LIMITS.for_verified()), []
    clients = clients // 100 if quick else clients
    for name, make in documents(clients).items():
        began = time.process_time()
        value = make()
        made = time.process_time()
        data = codec.encode(value)
        written = time.process_time()
        back = codec.decode(data, type(value))
        read = time.process_time()
        if back != value:
            raise SystemExit(f"{name}: what was read is not what was written")
        del back
        tracemalloc.start()
        codec.decode(data, type(value))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        out.append(
            {
                "document": name,
                "clients": clients,
                "bytes": len(data),
                "make_s": made - began,
                "write_s": written - made,
                "read_s": read - written,
                "read_bytes": peak,
            }
        )
    return out


def show(entries: list[dict[str, Any]]) -> str:
    lines = [
        "| document | clients | MB | made, CPU s | written | read | memory of reading, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for e in entries:
        seconds = " | ".join(f"{e[k]:.2f}" for k in ("make_s", "write_s", "read_s"))
        lines.append(
            f"| {e['document']} | {e['clients']:,} | {e['bytes'] / 1e6:.1f} | {seconds} | "
            f"{e['read_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=100_000)
    print(show(run(quick=False, clients=parser.parse_args(sys.argv[1:]).clients)))
