"""Make the golden packets again: `python -m tests.vectors.make`. `test_vectors.py` fails where they
would differ from the files.

v1/good/*.bin   what every later version must still read; v1/index.json says what is in each
v1/bad/*.bin    what every implementation must refuse, with the rule that refuses it
v1/kept/*.bin   sealed envelopes: they hold fresh randomness, so they are made once and kept

Everything but `kept` is a pure function of this file, `good_documents` and `bad_documents`. After
the first release a format change adds v2/ and leaves v1/ as it is; before it, a changed field is
followed by the same command with `--kept`.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import PacketType
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.packs import make_pack
from hyperfed.registry.registry import sign_registry
from hyperfed.testing.federation import SmallFederation
from tests.vectors.bad_documents import bad, federation, update_envelope
from tests.vectors.good_documents import packets, updates_of_a_pack, wide

HERE = Path(__file__).parent / "v1"


def good(fed: SmallFederation) -> dict[str, tuple[bytes, str]]:
    """name -> (bytes, kind)."""
    made: dict[str, tuple[bytes, str]] = {}
    for name, value in packets().items():
        kind = (
            f"list[{type(value[0]).__name__}]"
            if value and isinstance(value, list)
            else "list[]"
            if value == []
            else type(value).__name__
        )
        made[name] = (PayloadCodec().encode(value), kind)
    made["pack"] = (make_pack([*updates_of_a_pack().items()]).data, "pack")
    made["envelope-update"] = (update_envelope(fed), PacketType.UPDATE.value)
    made["envelope-plan"] = (fed.store.read(Keys.plan(1), max_bytes=1 << 20), PacketType.PLAN.value)
    made["envelope-registry"] = (sign_registry(fed.registry, fed.roots), PacketType.REGISTRY.value)
    return made


def kept(fed: SmallFederation) -> dict[str, bytes]:
    """Sealed envelopes and compressed documents: the first are new in every call, the second may be
    with another zstd.
    """
    return {
        "wide-zstd": PayloadCodec(compression="zstd").encode(wide()),
        "envelope-sealed": update_envelope(fed, sealed=True),
        "envelope-sealed-zstd": update_envelope(fed, sealed=True, sequence=2, compression="zstd"),
    }


def files() -> tuple[dict[str, bytes], dict[str, Any]]:
    """(path below v1/ -> bytes, the index), without `kept`."""
    fed = federation()
    content: dict[str, bytes] = {}
    index: dict[str, Any] = {"good": {}, "bad": {}}
    for folder, made in (("good", good(fed)), ("bad", bad(fed))):
        for name, (data, what) in sorted(made.items()):
            content[f"{folder}/{name}.bin"] = data
            index[folder][name] = {
                "kind" if folder == "good" else "rule": what,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
    return content, index


def write(content: Mapping[str, bytes], index: Mapping[str, Any], *, anew: bool) -> None:
    """anew: make the sealed ones again."""
    for folder in ("good", "bad", "kept"):
        (HERE / folder).mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (HERE / name).write_bytes(data)
    (HERE / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    for name, data in kept(federation()).items():
        if anew or not (HERE / "kept" / f"{name}.bin").exists():
            (HERE / "kept" / f"{name}.bin").write_bytes(data)


if __name__ == "__main__":
    write(*files(), anew="--kept" in sys.argv)
    sys.stdout.write(f"{HERE}: {len(files()[0])} files\n")
