"""Drop-boxes that an earlier version wrote: this one reads them, finishes their last round and
audits them.

A failure here means that a federation which runs today could not be upgraded. The files stay as
they are; what changed learns to read them.
"""

import hashlib
import json
import runpy
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hyperfed.client import ClientMemory, ClientSession
from hyperfed.client.gossip import GossipAtDropBox
from hyperfed.codec import SCHEMA_VERSION, pack, unpack
from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType, open_envelope, sign_envelope, verify_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import bind_body, open_body, seal_body
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import ConfigError, SchemaError
from hyperfed.merge.pooling import FORMULA
from hyperfed.operations.audit import AuditReport, audit
from hyperfed.protocol.machine import Why
from hyperfed.storage.memory import MemoryStore

HERE = Path(__file__).parent
BOXES = HERE / "dropboxes"
MAKE: dict[str, Any] = runpy.run_path(str(HERE / "make_dropboxes.py"), run_name="make_dropboxes")
INDEX: dict[str, Any] = json.loads((BOXES / "index.json").read_text())
each = pytest.mark.parametrize("name", INDEX)
each_stage = pytest.mark.parametrize(
    ("name", "stage"), [(name, stage) for name in INDEX for stage in MAKE["stages"](INDEX[name])]
)
NOISED = {"private", "shares", "effects", "central"}
DRAWN_ANEW = {("private", "left"), ("central", "collected"), ("central", "frozen")}
"""Drop-boxes at whose stage the noise of the last round is still to be drawn."""


def opened(name: str) -> MemoryStore:
    """A copy in memory, of the last stage."""
    store: MemoryStore = MAKE["unzipped"](BOXES / f"{name}.zip")
    return store


def left(name: str, stage: str, disks: Path) -> MemoryStore:
    """A copy in memory, as it was left at a stage."""
    store: MemoryStore = MAKE["left"](name, stage, INDEX[name], disks)
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
    disks = {file.stem: file.read_bytes() for file in (BOXES / "disks").glob("*.zip")}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in disks.items()} == {
        name: about["disks_sha256"] for name, about in INDEX.items() if "disks_sha256" in about
    }


@pytest.mark.parametrize("name", [name for name in INDEX if "stages" in INDEX[name]])
def test_each_stage_has_what_its_round_had_then_and_no_more(name: str, tmp_path: Path) -> None:
    """A stage that held the round's end would be read, and not finished."""
    most = {"collected": "plan", "frozen": "freeze", "reserved": "freeze", "released": "result"}
    stages = MAKE["stages"](INDEX[name])
    secret = INDEX[name]["helpers"] != []
    assert [*stages] == ([*[*most][:3], "opened", "released"] if secret else [*most])
    for stage in stages:
        there, folder = objects(left(name, stage, tmp_path / stage)), "rounds/00000002/"
        ends = [f"{folder}{what}" for what in ("freeze", "result", "state")]
        assert [key in there for key in ends] == {
            "collected": [False, False, False],
            "released": [True, True, False],
        }.get(stage, [True, False, False])
        assert len([key for key in there if key.startswith("ledger/")]) == (
            2 if stage in ("collected", "frozen") else 3
        )
        answers = [key for key in there if key.startswith(f"{folder}openings/sums/")]
        assert len(answers) == {"reserved": 1, "opened": 4, "released": 4}.get(stage, 0) * secret


@each_stage
def test_its_rounds_say_what_they_said(name: str, stage: str, tmp_path: Path) -> None:
    assert MAKE["said"](left(name, stage, tmp_path), INDEX[name]) == INDEX[name]["rounds"]


@each_stage
def test_an_audit_without_keys_finds_nothing_wrong(name: str, stage: str, tmp_path: Path) -> None:
    report = audited(name, left(name, stage, tmp_path))
    assert report.findings == ()
    assert report.checked["results"] == sum(
        said["end"] == "commit" for said in INDEX[name]["rounds"].values()
    ) + (stage == "released")


@each
@pytest.mark.parametrize("keys", ["coordinator", "auditor"])
def test_an_audit_with_keys_computes_the_same_again(name: str, keys: str) -> None:
    store = opened(name)
    report = audited(name, store, keys)
    assert report.findings == ()
    # What an earlier formula pooled and trusted otherwise is said, and is no finding. Noise cannot
    # be drawn again, and trust in a private round is of presence alone.
    said = [remark for remark in report.remarks if "not computed again (R-66)" in remark]
    if name in NOISED or formula_of(name, store) == FORMULA:
        ended = sum(said["end"] == "commit" for said in INDEX[name]["rounds"].values())
        assert report.checked["states recomputed"] == ended
        assert not said
    else:
        assert len(said) == report.checked["results"]
        assert all("frozen under formula" in remark for remark in said)


def formula_of(name: str, store: MemoryStore) -> int:
    """The formula of its first round."""
    freeze = DropBoxReader(store, fingerprint=INDEX[name]["fingerprint"]).freeze(1)
    assert freeze is not None
    return freeze.value.formula


@each_stage
def test_its_last_round_can_be_finished(name: str, stage: str, tmp_path: Path) -> None:
    about, store = INDEX[name], left(name, stage, tmp_path)
    before = objects(store)
    assert MAKE["finished"](store, about, tmp_path).why is Why.COMMITTED
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
    if (name, stage) not in DRAWN_ANEW:
        # What was not frozen yet is pooled by today's formula: near what the earlier one made of
        # it.
        assert effects(edges) == pytest.approx(effects(about["finished"]["edges"]), abs=5e-3)
    for keys in ("", "coordinator", "auditor") if "stages" not in about else ("auditor",):
        assert audited(name, store, keys).findings == ()
    for helper in about.get("helpers", ()):  # no theft opens history
        assert not (tmp_path / helper / f"round-{about['pending']:08d}.key").exists()


@pytest.mark.parametrize("stage", MAKE["stages"](INDEX["gossip"]))
def test_a_basket_gossips_on_from_its_disks_and_agrees(stage: str, tmp_path: Path) -> None:
    about, store = INDEX["gossip"], left("gossip", stage, tmp_path)
    averages = MAKE["STAGED"]["averages"](store, about, tmp_path)
    assert averages.keys() == about["averages"].keys() == about["clients"].keys()
    for client, average in averages.items():
        assert average == pytest.approx(about["averages"][client], abs=2e-2), client
    # what was drawn and charged then is neither drawn nor charged again
    guard = json.loads((tmp_path / "site-01" / "memory.json.gossip-privacy.json").read_text())
    assert [*guard["operations"]] == ["gossip/gossip/2"]


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


def of_a_newer_version(name: str, key: str, store: MemoryStore | None = None) -> MemoryStore:
    """A copy in which whoever signed one object runs a newer version."""
    about = INDEX[name]
    seeds = [about["coordinator"], *about["clients"].values()]
    signers = {pair.key_id: pair for pair in (KeyPair(bytes.fromhex(seed)) for seed in seeds)}
    there = objects(store or opened(name))
    envelope = open_envelope(there[key])
    (signer,) = [signers[key_id] for key_id, _ in envelope.signatures]
    signed = verify_envelope(
        envelope, expect=PacketType(envelope.type), key_of=lambda _: signer.public.signing
    )
    body = bytes(signed.body)
    assert 1 <= body[1] <= SCHEMA_VERSION
    newer = body[:1] + bytes([SCHEMA_VERSION + 1]) + body[2:]
    there[key] = sign_envelope(
        PacketType(envelope.type), bind_body(signed.header, newer), newer, [signer]
    )
    copy = MemoryStore()
    for at, data in there.items():
        copy.put_if_absent(at, data)
    return copy


@pytest.mark.parametrize(
    ("name", "stage", "key"),
    [
        ("plain", "left", "rounds/00000004/plan"),
        ("plain", "left", "rounds/00000004/freeze"),
        ("private", "left", "ledger/000000000003"),
        ("baskets", "left", "rounds/00000001/state"),
        ("baskets", "left", "rounds/00000002/plan"),
        ("sums", "reserved", "rounds/00000002/freeze"),
        ("sums", "released", "rounds/00000002/result"),
        ("secure", "frozen", "rounds/00000002/plan"),
        ("secure", "reserved", "rounds/00000002/openings/manifest"),
        ("shares", "opened", "rounds/00000002/openings/manifest"),
        ("shares", "released", "rounds/00000002/result"),
        ("gossip", "reserved", "ledger/000000000003"),
    ],
)
def test_what_a_newer_version_signed_stops_this_one_and_nothing_moves(
    name: str, stage: str, key: str, tmp_path: Path
) -> None:
    """The reverse of an upgrade: both versions are named, and the round goes on after one."""
    store = of_a_newer_version(name, key, left(name, stage, tmp_path))
    before = objects(store)
    with pytest.raises(SchemaError) as refused:
        MAKE["finished"](store, INDEX[name], tmp_path)
    assert refused.value.rule == "R-12"
    assert f"version {SCHEMA_VERSION + 1}; this library reads up to" in refused.value.problem
    assert refused.value.remedy == "Update hyperfed"
    assert objects(store) == before


def sealed_anew(
    store: MemoryStore, key: str, opens: KeyPair, signs: KeyPair, readers: list[KeyPair]
) -> MemoryStore:
    """A copy in which the body of one sealed object is of a newer version, inside its seal."""
    there = objects(store)
    envelope = open_envelope(there[key])
    signed = verify_envelope(
        envelope, expect=PacketType(envelope.type), key_of=lambda _: signs.public.signing
    )
    body = bytes(open_body(signed, opens))
    assert 1 <= body[1] <= SCHEMA_VERSION
    newer = body[:1] + bytes([SCHEMA_VERSION + 1]) + body[2:]
    header, text = seal_body(signed.header, newer, [reader.public for reader in readers])
    there[key] = sign_envelope(PacketType(envelope.type), header, text, [signs])
    copy = MemoryStore()
    for at, data in there.items():
        copy.put_if_absent(at, data)
    return copy


def pair_of(name: str, client: str) -> KeyPair:
    return KeyPair(bytes.fromhex(INDEX[name]["clients"][client]))


def test_a_newer_client_is_told_and_stops_nobody(tmp_path: Path) -> None:
    """A client that was upgraded before its coordinator: its update alone does not count."""
    coordinator = KeyPair(bytes.fromhex(INDEX["sums"]["coordinator"]))
    store = sealed_anew(
        left("sums", "collected", tmp_path),
        "inbox/00000002/site-01/0",
        coordinator,
        pair_of("sums", "site-01"),
        [coordinator],
    )
    stage = MAKE["finished"](store, INDEX["sums"], tmp_path)
    assert (stage.why, stage.counted, stage.refused) == (Why.COMMITTED, 4, 1)
    receipts = MAKE["said"](store, INDEX["sums"])["2"]["receipts"]
    assert receipts.pop("site-01") == "refused R-12"
    assert set(receipts.values()) == {"counted"}


def test_a_newer_peers_gossip_is_left_out_and_both_versions_are_named(tmp_path: Path) -> None:
    pairs = [pair_of("gossip", client) for client in INDEX["gossip"]["clients"]]
    store = sealed_anew(
        left("gossip", "collected", tmp_path),
        "gossip/00000002/00/site-02",
        pairs[0],
        pairs[1],
        pairs,
    )
    session = ClientSession(
        store,
        client_id="site-01",
        key_pair=pairs[0],
        fingerprint=INDEX["gossip"]["fingerprint"],
        memory=ClientMemory(tmp_path / "site-01" / "memory.json"),
    )
    now = datetime.fromisoformat(INDEX["gossip"]["night"])
    heard = GossipAtDropBox(session).exchange(pytest.fail, now=now, round_id=2)
    ((sender, epoch, why),) = heard.dropped
    assert (sender, epoch) == ("site-02", 0)
    assert f"version {SCHEMA_VERSION + 1}; this library reads up to" in why
    assert heard.added == 2


def test_a_peers_disk_of_a_newer_version_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    """A downgrade between two epochs: this round's message must not be drawn a second time."""
    store = left("gossip", "reserved", tmp_path)
    file = tmp_path / "site-01" / "memory.json.gossip-00000002.bin"
    version, *rest = unpack(file.read_bytes())
    file.write_bytes(pack([version + 1, *rest]))
    before = objects(store)
    with pytest.raises(ConfigError, match="is of version 2; this library reads up to 1") as refused:
        MAKE["STAGED"]["averages"](store, INDEX["gossip"], tmp_path)
    assert (refused.value.rule, refused.value.remedy) == ("R-12", "Update hyperfed")
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
    before = {file: file.read_bytes() for file in folder.rglob("*.*")}
    main = MAKE["main"]
    monkeypatch.setitem(main.__globals__, "HERE", folder)
    monkeypatch.setitem(main.__globals__, "INDEX", folder / "index.json")
    main()
    assert {file: file.read_bytes() for file in folder.rglob("*.*")} == before
    assert capsys.readouterr().out.count("is kept as it is") == len(INDEX)
