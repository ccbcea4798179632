"""Golden packets: the good ones are still read and written byte for byte, the bad ones still
refused by their rule.

A failure here means that the wire format changed. After the first release `v1/` stays as it is and
the change needs a new schema version; before it, `python -m tests.vectors.make` makes the files
again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from hyperfed.codec import PayloadCodec, unpack
from hyperfed.crypto.envelope import PacketType, open_envelope, verify_envelope
from hyperfed.errors import PacketError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import Update
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan
from hyperfed.protocol.packs import make_pack, read_pack
from hyperfed.registry.registry import read_registry
from hyperfed.validator.admission import RoundContext
from hyperfed.validator.validator import PacketValidator
from tests.vectors.bad_documents import federation
from tests.vectors.good_documents import packets, updates_of_a_pack, wide
from tests.vectors.make import files, kept

HERE = Path(__file__).parent
V1 = HERE / "v1"
INDEX = json.loads((V1 / "index.json").read_text())
FED = federation()
SAYS = packets()
DOCUMENTS = [name for name in INDEX["good"] if name in SAYS]


def read(folder: str, name: str) -> bytes:
    return (V1 / folder / f"{name}.bin").read_bytes()


def validator() -> PacketValidator:
    return PacketValidator(
        context=RoundContext(
            registry=FED.registry, plan=FED.plan(1), now=FED.night(1), key_pair=FED.coordinator
        )
    )


def test_the_files_are_those_that_would_be_made_now() -> None:
    content, index = files()
    there = {
        f"{p.parent.name}/{p.name}": p.read_bytes()
        for p in V1.glob("*/*.bin")
        if p.parent.name != "kept"
    }
    assert there.keys() == content.keys()
    assert [name for name in content if content[name] != there[name]] == []
    assert index == INDEX


def test_the_index_tells_the_truth() -> None:
    for folder in ("good", "bad"):
        for name, entry in INDEX[folder].items():
            data = read(folder, name)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (
                entry["bytes"],
                entry["sha256"],
            )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_good_document_says_what_it_said(name: str) -> None:
    data, expected = read("good", name), SAYS[name]
    kind = (
        (list[type(expected[0])] if expected else list[Update])
        if isinstance(expected, list)
        else type(expected)
    )  # type: ignore[misc]
    decoded = PayloadCodec().decode(data, kind)
    if kind is GlobalModel:  # its arrays are compared by what they are written as
        assert PayloadCodec().encode(decoded) == data
        assert decoded.evidence.edges == expected.evidence.edges
    else:
        assert decoded == expected
    assert PayloadCodec().encode(expected) == data
    assert PayloadCodec().kind_of(data) == INDEX["good"][name]["kind"]


def test_the_good_envelopes_verify() -> None:
    update = validator().verify(read("good", "envelope-update"), key=Keys.inbox(1, "site-01", 0))
    assert update.update == FED.update("site-01")
    registry, _ = read_registry(
        read("good", "envelope-registry"), before=None, fingerprint=FED.fingerprint
    )
    assert registry == FED.registry
    plan = verify_envelope(
        open_envelope(read("good", "envelope-plan")),
        expect=PacketType.PLAN,
        key_of=registry.coordinator_key,
    )
    assert PayloadCodec().decode(plan.body, Plan) == FED.plan(1)


def test_a_pack_says_what_it_said() -> None:
    assert read_pack(read("good", "pack"), subject="pack") == updates_of_a_pack()
    assert make_pack([*updates_of_a_pack().items()]).data == read("good", "pack")


def test_a_compressed_document_still_says_what_it_said() -> None:
    assert PayloadCodec().decode(read("kept", "wide-zstd"), Update) == wide()


@pytest.mark.parametrize("name", sorted(p.stem for p in (V1 / "kept").glob("envelope*.bin")))
def test_a_sealed_envelope_still_opens(name: str) -> None:
    admitted = validator().verify(read("kept", name), key=Keys.inbox(1, "site-01", 0))
    assert admitted.update == FED.update("site-01")


def test_there_are_sealed_ones() -> None:
    assert {p.stem for p in (V1 / "kept").glob("*.bin")} == kept(FED).keys()


PATH = type(SAYS["path"])
KINDS: dict[str, Any] = {
    "PathPack": PATH,
    "Freeze": Freeze,
    "Update": Update,
    "EdgeDelta": type(SAYS["edge-delta"]),
    "list[PathPack]": list[PATH],
}  # type: ignore[valid-type]


def judge(name: str, data: bytes) -> None:
    """A document is read as the kind it names, an envelope by a validator in round 1, a pack as
    what it is.
    """
    if name.startswith("envelope"):
        validator().verify(data, key=Keys.inbox(1, "site-01", 0))
        return
    if name.startswith("pack"):
        read_pack(data, subject=name)
        return
    try:
        kind = KINDS.get(str(unpack(data)[1]), PATH)
    except PacketError:
        kind = PATH
    PayloadCodec().decode(data, kind)


@pytest.mark.parametrize("name", INDEX["bad"])
def test_a_bad_packet_is_refused_by_its_rule(name: str) -> None:
    data = read("bad", name)
    with pytest.raises(PacketError) as caught:
        judge(name, data)
    assert caught.value.rule == INDEX["bad"][name]["rule"]
    if not name.startswith("envelope"):
        assert not PacketValidator().validate(data)[0]
