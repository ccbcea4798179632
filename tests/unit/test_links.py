"""Bundles of links: what they reach, who can open them, and what is refused (R-53). The URLs are a fake store's; no socket is opened."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from hyperfed.adapters.http import LinkTable
from hyperfed.adapters.memory import MemoryStore
from hyperfed.audit import audit
from hyperfed.codec import PayloadCodec, pack
from hyperfed.config import Limits
from hyperfed.coordinator.links import Issued, LinkIssuer, MailBox, issue_links, presigner_of
from hyperfed.dropbox import DropBoxReader
from hyperfed.encryption import bind_body
from hyperfed.errors import AccessDenied, ConfigError, HyperfedError, ObjectNotFound, RegistryError, SchemaError, SignatureError
from hyperfed.keys import KeyPair
from hyperfed.patience import PatientStore
from hyperfed.protocol.links import MAX_LIFETIME_S, Link, Links, LinksFile, open_links, seal_links, split_url
from hyperfed.rounds import Keys, page_of
from hyperfed.signing import Header, PacketType, open_envelope, sign_envelope
from hyperfed.testing.federation import SmallFederation, key_of

ORIGIN = "https://box.example:8443"


def fake_url(method: str, key: str) -> str:
    return f"{ORIGIN}/bucket/fed/{key}?X-Sig={hashlib.sha256(f'{method} {key}'.encode()).hexdigest()}"


class SigningStore(MemoryStore):
    """A store in memory that makes URLs, and remembers for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.lifetimes: set[int] = set()

    def presign_get(self, key: str, *, expires_s: int) -> str:
        self.lifetimes.add(expires_s)
        return fake_url("GET", key)

    def presign_put_if_absent(self, key: str, *, expires_s: int) -> str:
        self.lifetimes.add(expires_s)
        return fake_url("PUT", key)


@pytest.fixture
def fed() -> SmallFederation:
    return SmallFederation(store=SigningStore())


def issuer(fed: SmallFederation, round_id: int = 1, **options: object) -> LinkIssuer:
    reader = DropBoxReader(fed.store, fingerprint=fed.fingerprint)
    return LinkIssuer(store=fed.store, reader=reader, keys=fed.coordinator, round_id=round_id, now=fed.opens(round_id), **options)  # type: ignore[arg-type]


def opened(fed: SmallFederation, data: bytes, client: str = "site-01", *, keys: KeyPair | None = None, **changes: object) -> Links:
    given = {"federation": fed.registry.federation, "client": client, "keys": keys or fed.keys[client], "coordinator_key": fed.registry.coordinator_key}
    return open_links(data, **(given | changes))  # type: ignore[arg-type]


def test_a_client_opens_its_links_and_nobody_else_can(fed: SmallFederation) -> None:
    write = issuer(fed).bundle("site-01")
    assert write.key == "rounds/00000001/links/site-01"
    links = opened(fed, write.data, key=write.key)
    assert (links.client, links.round, links.origin, links.issued) == ("site-01", 1, ORIGIN, fed.opens(1))
    assert links.expires - links.issued == timedelta(days=7)
    for stranger in (fed.keys["site-02"], fed.coordinator, KeyPair.generate()):
        with pytest.raises(SignatureError, match="sealed to"):
            opened(fed, write.data, keys=stranger)
    assert b"X-Sig" not in write.data
    assert b"box.example" not in write.data


def test_the_urls_are_the_store_s_for_their_own_method(fed: SmallFederation) -> None:
    links = opened(fed, issuer(fed).bundle("site-01").data)
    assert {links.origin + x.target for x in links.gets} == {fake_url("GET", x.key) for x in links.gets}
    assert {links.origin + x.target for x in links.puts} == {fake_url("PUT", x.key) for x in links.puts}
    assert isinstance(fed.store, SigningStore)
    assert fed.store.lifetimes == {MAX_LIFETIME_S}


def test_a_bundle_reaches_what_a_client_may_and_nothing_else(fed: SmallFederation) -> None:
    for r in (1, 2, 3):
        fed.play(r)
    fed.open(4)
    links = opened(fed, issuer(fed, 4).bundle("site-02").data, "site-02")
    puts, gets = [x.key for x in links.puts], [x.key for x in links.gets]
    assert puts == [Keys.inbox(r, "site-02", slot) for r in (3, 4, 5, 6) for slot in range(4)]
    mine = [key for key in gets if "site-" in key]
    assert all(key.split("/")[-1] == "site-02" or key.startswith("inbox/") for key in mine)
    assert [key for key in mine if key.startswith("inbox/")] == puts, "its own slots can be read back, to find a write whose answer was lost"
    assert not any(f"site-0{i}" in key for key in gets + puts for i in (1, 3))
    kinds = {key.split("/")[2].rstrip("0123456789") for key in gets if key.startswith("rounds/")}
    assert kinds == {"plan", "result", "receipts", "links"}, "not accepted/, freeze or state"
    assert {key.split("/")[0] for key in gets} == {"rounds", "registry", "ledger", "inbox"}
    needed = {Keys.registry(v) for v in (1, 2)} | {Keys.ledger(s) for s in range(1, 6 + 64 + 14)} | {Keys.result(r) for r in (1, 2, 3, 4, 11)}
    needed |= {Keys.plan(r) for r in (4, 11)} | {Keys.receipt(r, "site-02") for r in (1, 2, 3, 4, 11)} | {Keys.links(r, "site-02") for r in range(5, 12)}
    assert needed <= set(gets)
    assert Keys.links(4, "site-02") not in gets


def test_the_newest_result_is_reached_however_old_it_is(fed: SmallFederation) -> None:
    fed.play(1)
    gets = {x.key for x in opened(fed, issuer(fed, 60).bundle("site-01").data).gets}
    assert Keys.result(1) in gets
    assert Keys.receipt(1, "site-01") in gets
    assert Keys.result(2) not in gets


def test_with_short_rounds_the_links_ahead_double_until_the_urls_end() -> None:
    fed = SmallFederation(store=SigningStore(), window_s=60)
    ahead = [int(x.key[7:15]) - 1 for x in opened(fed, issuer(fed).bundle("site-01").data).gets if "/links/" in x.key]
    assert ahead == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
    assert 8192 <= MAX_LIFETIME_S // 60 < 2 * 8192


@pytest.mark.parametrize(("own_receipts", "kinds"), [(1, {"receipts", "receipt-pages"}), (3, {"receipts", "receipt-pages"}), (6, {"receipts"})])
def test_a_bundle_reaches_the_clients_page_where_there_may_be_pages(own_receipts: int, kinds: set[str]) -> None:
    fed = SmallFederation(store=SigningStore(), limits=Limits(own_receipts=own_receipts))
    fed.play(1)
    fed.open(2)
    reader = fed.reader()
    bundle = LinkIssuer(store=fed.store, reader=reader, keys=fed.coordinator, round_id=2, now=fed.opens(2)).bundle("site-02")
    links = opened(fed, bundle.data, "site-02")
    told = {x.key for x in links.gets if "/receipt" in x.key}
    assert {key.split("/")[2] for key in told} == kinds
    assert {key for key in told if "pages" in key} <= {Keys.receipt_page(r, page_of("site-02")) for r in range(1, 10)}
    table = LinkTable(replace(links, since=2), now=lambda: fed.opens(2))
    with pytest.raises(ObjectNotFound):
        table.url("GET", Keys.receipt_page(1, page_of("site-02")) if own_receipts == 6 else Keys.receipt_page(0, page_of("site-02")))
    with pytest.raises(AccessDenied):
        table.url("GET", Keys.receipt_page(2, page_of("site-01")))


def test_a_client_that_came_later_has_no_earlier_receipts(fed: SmallFederation) -> None:
    for r in (1, 2):
        fed.play(r)
    newcomer = key_of("newcomer")
    record = replace(
        fed.registry.client("site-01"), client_id="site-09", keys=(replace(fed.registry.client("site-01").keys[0], keys=newcomer.public, valid_from=3),)
    )
    fed.amend(clients=(*fed.registry.clients, record))
    links = opened(fed, issuer(fed, 3).bundle("site-09").data, "site-09", keys=newcomer)
    table = LinkTable(links, now=lambda: fed.opens(3))
    assert links.since == 3
    with pytest.raises(ObjectNotFound):
        table.url("GET", Keys.receipt(2, "site-09"))
    assert table.url("GET", Keys.receipt(3, "site-09"))
    for key in (Keys.receipt(2, "site-01"), Keys.receipt(99, "site-09"), Keys.freeze(2)):
        with pytest.raises(AccessDenied, match="do not let this client read it"):
            table.url("GET", key)


def test_expired_links_say_since_when_and_what_to_do(fed: SmallFederation) -> None:
    links = opened(fed, issuer(fed, lifetime_s=3600).bundle("site-01").data)
    now = [links.expires - timedelta(seconds=1)]
    table = LinkTable(links, now=lambda: now[0])
    assert not table.expired
    assert table.url("GET", Keys.plan(1))
    now[0] = links.expires
    for method, key in (("GET", Keys.plan(1)), ("PUT", Keys.inbox(1, "site-01", 0)), ("GET", Keys.freeze(1))):
        with pytest.raises(AccessDenied, match="expired at 2026-01-01T01:00:00") as caught:
            table.url(method, key)
        assert "hyperfed links issue" in caught.value.remedy


def test_mail_is_reached_where_it_is_asked_for(fed: SmallFederation) -> None:
    links = opened(fed, issuer(fed, mail=MailBox(prefix="gossip/7", peers=("site-02",), count=2)).bundle("site-01").data)
    sent = ["gossip/7/site-02/site-01/000000000000", "gossip/7/site-02/site-01/000000000001"]
    assert [x.key for x in links.puts if x.key.startswith("gossip")] == sent
    received = [key.replace("site-02/site-01", "site-01/site-02") for key in sent]
    assert [x.key for x in links.gets if x.key.startswith("gossip")] == sorted(sent + received)


# Refused: bundles that nobody should make


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
        {"puts": _link("inbox/00000001/site-01/0", "/b/inbox/00000001/site-02/0?x=/inbox/00000001/site-01/0")},
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
        return seal_links(links, recipients=own, keys=by).data

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
        opened(fed, sign_envelope(PacketType.LINKS, bind_body(header, body), body, [fed.coordinator]))


@pytest.mark.parametrize(
    "url", ["https://me:pass@box.example/k", "ftp://box.example/k", "https://box.example", "https://box.example//k", "https://box.example/a b", "k"]
)
def test_a_store_s_url_that_is_none_is_not_passed_on(url: str) -> None:
    with pytest.raises(SchemaError) as caught:
        split_url(url)
    assert "pass" not in str(caught.value)
    assert split_url(fake_url("GET", "k")) == (ORIGIN, "/bucket/fed/k?" + urlsplit(fake_url("GET", "k")).query)


# Files and issuing


def test_a_file_brings_the_registry_along(fed: SmallFederation) -> None:
    fed.amend()
    data = issuer(fed).file("site-01")
    file = LinksFile.from_bytes(data)
    assert file.registries == tuple(fed.store.read(Keys.registry(v), max_bytes=1 << 20) for v in (1, 2))
    assert open_envelope(file.envelope).type == "hyperfed/links"
    assert file.to_bytes() == data


@pytest.mark.parametrize("data", [b"", b"-----BEGIN", pack([1, [], b"x"]), pack([1, ["text"], b"x"]), pack([1, [b"x"], b"x", 0]), pack([2, [b"x"], b"x"])])
def test_what_is_no_file_of_links_is_named(data: bytes) -> None:
    with pytest.raises(SchemaError, match=r"lost\.hfl") as caught:
        LinksFile.from_bytes(data, subject="lost.hfl")
    assert caught.value.remedy


def test_issuing_again_changes_nothing_and_strangers_are_named(fed: SmallFederation) -> None:
    fed.revoke("site-03", from_round=1)

    def issue(*clients: str) -> Issued:
        return issue_links(fed.store, clients, round_id=1, now=fed.opens(1), keys=fed.coordinator, fingerprint=fed.fingerprint)

    first = issue("site-01", "site-03", "nobody", "site-01")
    assert (first.written, first.there, [client for client, _ in first.refused]) == (("site-01",), (), ["nobody", "site-03"])
    before = fed.objects("rounds/")
    assert list(before) == [Keys.links(1, "site-01")]
    second = issue("site-01", "site-02")
    assert (second.written, second.there) == (("site-02",), ("site-01",))
    assert fed.objects("rounds/")[Keys.links(1, "site-01")] == before[Keys.links(1, "site-01")]
    assert opened(fed, fed.objects("rounds/")[Keys.links(1, "site-02")], "site-02")
    assert isinstance(fed.store, SigningStore)
    fed.store.lifetimes.clear()
    assert issue("site-01", "site-02").there == ("site-01", "site-02")
    assert fed.store.lifetimes == set(), "no URL is made that nobody gets"


def test_the_audit_verifies_whose_links_they_are(fed: SmallFederation) -> None:
    fed.open(1)
    issue_links(fed.store, fed.clients, round_id=1, now=fed.opens(1), keys=fed.coordinator, fingerprint=fed.fingerprint)
    report = audit(fed.store, fingerprint=fed.fingerprint)
    assert (report.findings, report.checked["links"]) == ((), 3)
    fed.open(2)
    honest = fed.objects("rounds/00000001/links/")
    assert fed.store.put_if_absent(Keys.links(2, "site-01"), honest[Keys.links(1, "site-01")])
    forged = seal_links(opened(fed, issuer(fed, 2).bundle("site-02").data, "site-02"), recipients=[fed.keys["site-02"].public], keys=fed.keys["site-03"])
    assert fed.store.put_if_absent(Keys.links(2, "site-02"), forged.data)
    assert fed.store.put_if_absent(Keys.links(2, "site-03"), issuer(fed, 2).bundle("site-01").data)
    found = {finding.key: finding.problem for finding in audit(fed.store, fingerprint=fed.fingerprint).findings}
    assert list(found) == [Keys.links(2, client) for client in fed.clients]
    assert "made for round 1" in found[Keys.links(2, "site-01")]
    assert "keys known here" in found[Keys.links(2, "site-02")]
    assert "made for 'site-01'" in found[Keys.links(2, "site-03")]


def test_only_the_coordinator_s_key_and_a_store_with_urls_issue(fed: SmallFederation) -> None:
    def issue(fed: SmallFederation, keys: KeyPair, clients: tuple[str, ...] = ("site-01",)) -> Issued:
        return issue_links(fed.store, clients, round_id=1, now=fed.opens(1), keys=keys, fingerprint=fed.fingerprint)

    with pytest.raises(ConfigError, match="not the coordinator's"):
        issue(fed, fed.keys["site-01"])
    plain = SmallFederation()
    with pytest.raises(ConfigError, match="no presigned URLs"):
        issue(plain, plain.coordinator)
    assert issue(plain, plain.coordinator, ()) == Issued(round=1), "no client asks for links: a share will do"
    for f in (fed, plain):
        assert f.objects("rounds/") == {}
    assert presigner_of(PatientStore(fed.store)) is fed.store


def test_a_revoked_client_gets_no_bundle_and_a_coming_key_can_open_one(fed: SmallFederation) -> None:
    fed.revoke("site-03", from_round=5)
    assert issuer(fed, 4).bundle("site-03")
    for client in ("site-03", "nobody"):
        with pytest.raises(RegistryError):
            issuer(fed, 5).bundle(client)
    fresh, old = key_of("fresh"), fed.keys["site-01"]
    fed.rotate("site-01", fresh, from_round=6)
    assert opened(fed, issuer(fed, 5).bundle("site-01").data, keys=fresh)
    assert opened(fed, issuer(fed, 5).bundle("site-01").data, keys=old)
    with pytest.raises(SignatureError, match="sealed to"):
        opened(fed, issuer(fed, 7).bundle("site-01").data, keys=old)


@pytest.mark.parametrize("lifetime_s", [0, MAX_LIFETIME_S + 1])
def test_a_lifetime_that_no_url_can_have_is_refused(fed: SmallFederation, lifetime_s: int) -> None:
    with pytest.raises(ConfigError, match="604800"):
        issuer(fed, lifetime_s=lifetime_s)


def test_a_store_at_several_hosts_is_refused(fed: SmallFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: Callable[..., str] = lambda self, key, *, expires_s: f"https://{key.split('/')[0]}.example/{key}"  # noqa: E731
    monkeypatch.setattr(SigningStore, "presign_get", hosts)
    with pytest.raises(ConfigError, match="several hosts"):
        issuer(fed).bundle("site-01")
