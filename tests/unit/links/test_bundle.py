"""What a bundle of links may say: nothing that leads astray is made, read or passed on."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from hyperfed.codec import PayloadCodec, pack
from hyperfed.crypto.envelope import Header, PacketType, open_envelope, sign_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import bind_body
from hyperfed.errors import ConfigError, HyperfedError, SchemaError, SignatureError
from hyperfed.links.bundle import Link, Links, LinksFile, seal_links, split_url
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation
from tests.unit.links.signing_store import ORIGIN, fake_url, issuer, opened


def _links(**changes: object) -> Links:
    issued = SmallFederation().opens(1)
    good = {
        "federation": "small-fed",
        "round": 1,
        "client": "site-01",
        "since": 1,
        "origin": ORIGIN,
        "issued": issued,
        "expires": issued + timedelta(days=7),
        "gets": (Link(key="ledger/000000000001", target="/b/ledger/000000000001?s=1"),),
        "puts": (Link(key="inbox/00000001/site-01/0", target="/b/inbox/00000001/site-01/0?s=1"),),
    }
    return Links(**(good | changes))  # type: ignore[arg-type]


def _link(key: str, target: str | None = None) -> tuple[Link, ...]:
    return (Link(key=key, target=f"/b/{key}?s=1" if target is None else target),)


@pytest.mark.parametrize(
    "changes",
    [
        {"puts": _link("inbox/00000001/site-02/0")},
        {"puts": _link("rounds/00000001/site-01/0")},
        {"puts": _link("rounds/00000001/links/site-01")},
        {"puts": _link("ledger/site-01/0")},
        {"puts": _link("site-01")},
        {"puts": _link("inbox/00000001/site-01/0", "/b/inbox/00000001/site-02/0?s=1")},
        {
            "puts": _link(
                "inbox/00000001/site-01/0",
                "/b/inbox/00000001/site-02/0?x=/inbox/00000001/site-01/0",
            )
        },
        {"gets": _link("ledger/000000000001", "//elsewhere/ledger/000000000001")},
        {"gets": _link("ledger/000000000001", "@elsewhere/ledger/000000000001")},
        {"gets": _link("ledger/000000000001", "/b/ledger/000000000001 HTTP/1.1")},
        {"gets": _link("ledger/000000000001", "/b/ledger/000000000001?\r\nHost: elsewhere")},
        {"gets": _link("ledger/000000000002") + _link("ledger/000000000001")},
        {"gets": _link("ledger/000000000001") * 2},
        {"origin": "https://me:secret@box.example"},
        {"origin": "https://box.example/path"},
        {"origin": "file:///etc"},
        {"origin": "https://box.example:99999"},
        {"origin": "box.example"},
        {"expires": SmallFederation().opens(1) + timedelta(days=7, seconds=1)},
        {"expires": SmallFederation().opens(1)},
        {"round": 0},
        {"client": "../site"},
    ],
    ids=str,
)
def test_links_that_lead_astray_cannot_be_made_or_read(changes: dict[str, object]) -> None:
    assert _links()
    with pytest.raises((SchemaError, ConfigError)) as caught:
        _links(**changes)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["../plan", "rounds/../plan", "a b", ""])
def test_links_to_what_is_no_key_are_refused(key: str) -> None:
    with pytest.raises(HyperfedError):
        _links(gets=_link(key))


def test_every_refusal_of_a_bundle(fed: SmallFederation) -> None:
    honest = opened(fed, issuer(fed).bundle("site-01").data)
    own = [fed.keys["site-01"].public]

    def bundle(links: Links = honest, *, by: KeyPair = fed.coordinator) -> bytes:
        return seal_links(links, recipients=own, key_pair=by).data

    assert opened(fed, bundle(), key=Keys.links(1, "site-01")) == honest
    with pytest.raises(SignatureError, match="known here"):
        opened(fed, bundle(by=fed.keys["site-02"]))
    with pytest.raises(HyperfedError, match="made for 'site-01'"):
        opened(fed, bundle(), "site-02")
    with pytest.raises(HyperfedError, match="of federation 'small-fed'"):
        opened(fed, bundle(), federation="another-fed")
    with pytest.raises(HyperfedError, match="than it lies in"):
        opened(fed, bundle(replace(honest, round=2)), key=Keys.links(1, "site-01"))
    data = bytearray(bundle())
    data[-1] ^= 1
    with pytest.raises(SignatureError, match="body"):
        opened(fed, bytes(data))
    with pytest.raises(SignatureError, match="belongs"):
        opened(fed, fed.store.read(Keys.registry(1), max_bytes=1 << 20))
    closed = replace(fed.registry.coordinators[0], valid_until=1)
    late = replace(fed.registry, coordinators=(closed,))
    assert opened(fed, bundle(), coordinator_key=late.coordinator_key) == honest
    with pytest.raises(SignatureError, match="not the coordinator's in round 2"):
        opened(fed, bundle(replace(honest, round=2)), coordinator_key=late.coordinator_key)


def test_links_that_are_not_sealed_are_refused(fed: SmallFederation) -> None:
    honest = opened(fed, issuer(fed).bundle("site-01").data)
    body = PayloadCodec().encode(honest)
    header = Header(
        federation="small-fed",
        round=1,
        sender="coordinator",
        key_id=fed.coordinator.key_id,
        audience="site-01",
        sequence=0,
        nonce=b"",
        created=honest.issued,
        expires=honest.expires,
    )
    with pytest.raises(SchemaError, match="are not"):
        opened(
            fed, sign_envelope(PacketType.LINKS, bind_body(header, body), body, [fed.coordinator])
        )


@pytest.mark.parametrize(
    "url",
    [
        "https://me:pass@box.example/k",
        "ftp://box.example/k",
        "https://box.example",
        "https://box.example//k",
        "https://box.example/a b",
        "k",
    ],
)
def test_a_store_s_url_that_is_none_is_not_passed_on(url: str) -> None:
    with pytest.raises(SchemaError) as caught:
        split_url(url)
    assert "pass" not in str(caught.value)
    assert split_url(fake_url("GET", "k")) == (
        ORIGIN,
        "/bucket/fed/k?" + urlsplit(fake_url("GET", "k")).query,
    )


def test_a_file_brings_the_registry_along(fed: SmallFederation) -> None:
    fed.amend()
    data = issuer(fed).file("site-01")
    file = LinksFile.from_bytes(data)
    assert file.registries == tuple(
        fed.store.read(Keys.registry(v), max_bytes=1 << 20) for v in (1, 2)
    )
    assert open_envelope(file.envelope).type == "hyperfed/links"
    assert file.to_bytes() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-----BEGIN",
        pack([1, [], b"x"]),
        pack([1, ["text"], b"x"]),
        pack([1, [b"x"], b"x", 0]),
        pack([2, [b"x"], b"x"]),
    ],
)
def test_what_is_no_file_of_links_is_named(data: bytes) -> None:
    with pytest.raises(SchemaError, match=r"lost\.hfl") as caught:
        LinksFile.from_bytes(data, subject="lost.hfl")
    assert caught.value.remedy
