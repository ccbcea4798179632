"""Drop-boxes that an earlier version wrote: this one reads them, finishes their last round and
audits them.

A failure here means that a federation which runs today could not be upgraded. The files stay as
they are; what changed learns to read them.
"""

import hashlib
import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from hyperfed.codec import SCHEMA_VERSION
from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType, open_envelope, sign_envelope, verify_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import bind_body
from hyperfed.errors import SchemaError
from hyperfed.operations.audit import AuditReport, audit
from hyperfed.protocol.machine import Why
from hyperfed.storage.memory import MemoryStore

HERE = Path(__file__).parent
BOXES = HERE / "dropboxes"
MAKE: dict[str, Any] = runpy.run_path(str(HERE / "make_dropboxes.py"), run_name="make_dropboxes")
INDEX: dict[str, Any] = json.loads((BOXES / "index.json").read_text())
each = pytest.mark.parametrize("name", INDEX)


def opened(name: str) -> MemoryStore:
    """A copy in memory."""
    store: MemoryStore = MAKE["unzipped"](BOXES / f"{name}.zip")
    return store


def objects(store: MemoryStore) -> dict[str, bytes]:
    return {info.key: store.read(info.key, max_bytes=1 << 20) for info in store.list("")}


def audited(name: str, store: MemoryStore, keys: str = "") -> AuditReport:
    """keys: whose keys open the bodies, "coordinator" or "auditor"."""
    about = INDEX[name]
    pair = KeyPair(bytes.fromhex(about[keys])) if keys else None
    return audit(
        store, about["fingerprint"], pair, limits=Limits(own_receipts=about["own_receipts"])
    )


def test_the_files_are_those_that_were_written_then() -> None:
    assert {file.stem for file in BOXES.glob("*.zip")} == INDEX.keys() == MAKE["BOXES"].keys()
    for name, about in INDEX.items():
        assert (
            hashlib.sha256((BOXES / f"{name}.zip").read_bytes()).hexdigest() == about["sha256"]
        ), name
        assert len(objects(opened(name))) == about["objects"]


@each
def test_its_rounds_say_what_they_said(name: str) -> None:
    assert MAKE["said"](opened(name), INDEX[name]) == INDEX[name]["rounds"]


@each
def test_an_audit_without_keys_finds_nothing_wrong(name: str) -> None:
    report = audited(name, opened(name))
    assert report.findings == ()
    assert report.checked["results"] == sum(
        said["end"] == "commit" for said in INDEX[name]["rounds"].values()
    )


@each
@pytest.mark.parametrize("keys", ["coordinator", "auditor"])
def test_an_audit_with_keys_computes_the_same_again(name: str, keys: str) -> None:
    report = audited(name, opened(name), keys)
    assert report.findings == ()
    # What an earlier formula pooled and trusted otherwise is said, and is no finding. Noise cannot
    # be drawn again, and trust in a private round is of presence alone.
    said = [remark for remark in report.remarks if "not computed again (R-66)" in remark]
    if name == "private":
        assert report.checked["states recomputed"] == report.checked["results"]
        assert not said
    else:
        assert len(said) == report.checked["results"]
        assert all("frozen under formula" in remark for remark in said)


@each
def test_its_last_round_can_be_finished(name: str) -> None:
    about, store = INDEX[name], opened(name)
    before = objects(store)
    assert MAKE["finished"](store, about).why is Why.COMMITTED
    after = objects(store)
    assert {key: after.get(key) for key in before} == before  # nothing of what was there moved
    rounds = MAKE["said"](store, about)
    ended = rounds.pop(str(about["pending"]))
    assert rounds == about["rounds"]
    edges, then = (
        ended.pop("edges"),
        {what: said for what, said in about["finished"].items() if what != "edges"},
    )
    assert ended == then
    if name != "private":  # its noise is drawn anew
        # What was not frozen yet is pooled by today's formula: near what the earlier one made of
        # it.
        assert effects(edges) == pytest.approx(effects(about["finished"]["edges"]), abs=5e-3)
    for keys in ("", "coordinator", "auditor"):
        assert audited(name, store, keys).findings == ()


def effects(edges: list[str]) -> dict[str, float]:
    """edge -> effect."""
    return {edge: float(effect) for edge, effect in (line.rsplit(": ", 1) for line in edges)}


def test_a_charged_round_is_not_charged_again() -> None:
    store = opened("private")
    charged = [key for key in objects(store) if key.startswith("ledger/")]
    MAKE["finished"](store, INDEX["private"])
    # its commit alone
    assert [key for key in objects(store) if key.startswith("ledger/")] == [
        *charged,
        "ledger/000000000004",
    ]


def of_a_newer_version(name: str, key: str) -> MemoryStore:
    """A copy in which a coordinator of a newer version has signed one object."""
    coordinator = KeyPair(bytes.fromhex(INDEX[name]["coordinator"]))
    there = objects(opened(name))
    envelope = open_envelope(there[key])
    signed = verify_envelope(
        envelope, expect=PacketType(envelope.type), key_of=lambda _: coordinator.public.signing
    )
    body = bytes(signed.body)
    assert 1 <= body[1] <= SCHEMA_VERSION
    newer = body[:1] + bytes([SCHEMA_VERSION + 1]) + body[2:]
    there[key] = sign_envelope(
        PacketType(envelope.type), bind_body(signed.header, newer), newer, [coordinator]
    )
    store = MemoryStore()
    for at, data in there.items():
        store.put_if_absent(at, data)
    return store


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("plain", "rounds/00000004/plan"),
        ("plain", "rounds/00000004/freeze"),
        ("private", "ledger/000000000003"),
        ("baskets", "rounds/00000001/state"),
        ("baskets", "rounds/00000002/plan"),
    ],
)
def test_what_a_newer_version_signed_stops_this_one_and_nothing_moves(name: str, key: str) -> None:
    """The reverse of an upgrade: both versions are named, and the round goes on after one."""
    store = of_a_newer_version(name, key)
    before = objects(store)
    with pytest.raises(SchemaError) as refused:
        MAKE["finished"](store, INDEX[name])
    assert refused.value.rule == "R-12"
    assert f"version {SCHEMA_VERSION + 1}; this library reads up to" in refused.value.problem
    assert refused.value.remedy == "Update hyperfed"
    assert objects(store) == before


@each
def test_the_script_still_makes_such_a_drop_box(name: str) -> None:
    made = MAKE["BOXES"][name]()
    about = INDEX[name]
    assert made.pending == about["pending"]
    rounds = MAKE["said"](made.federation.store, about)
    assert {r: (said["end"], said["receipts"]) for r, said in rounds.items()} == {
        r: (said["end"], said["receipts"]) for r, said in about["rounds"].items()
    }


def test_the_script_never_writes_over_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "dropboxes"
    shutil.copytree(BOXES, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    main = MAKE["main"]
    monkeypatch.setitem(main.__globals__, "HERE", folder)
    monkeypatch.setitem(main.__globals__, "INDEX", folder / "index.json")
    main()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert capsys.readouterr().out.count("is kept as it is") == len(INDEX)
