"""Bundles of links: what they reach, who can open them, and what is refused (R-53). The URLs are a
fake store's; no socket is opened.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from hyperfed.config import Limits
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    ObjectNotFound,
    RegistryError,
    SchemaError,
    SignatureError,
)
from hyperfed.gossip.reach import GossipReach
from hyperfed.gossip.terms import EPOCHS, terms_of
from hyperfed.links.bundle import MAX_LIFETIME_S, Link, seal_links
from hyperfed.links.issuing import Issued, LinkIssuer, MailBox, issue_links, presigner_of
from hyperfed.links.link_table import LinkTable
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.registry.registry import Budget
from hyperfed.storage.retrying import RetryingStore
from hyperfed.testing.federation import SmallFederation, key_of
from tests.unit.links.signing_store import ORIGIN, SigningStore, fake_url, issuer, opened


def test_a_client_opens_its_links_and_nobody_else_can(fed: SmallFederation) -> None:
    write = issuer(fed).bundle("site-01")
    assert write.key == "rounds/00000001/links/site-01"
    links = opened(fed, write.data, key=write.key)
    assert (links.client, links.round, links.origin, links.issued) == (
        "site-01",
        1,
        ORIGIN,
        fed.opens(1),
    )
    assert links.expires - links.issued == timedelta(days=7)
    for stranger in (fed.keys["site-02"], fed.coordinator, KeyPair.generate()):
        with pytest.raises(SignatureError, match="sealed to"):
            opened(fed, write.data, key_pair=stranger)
    assert b"X-Sig" not in write.data
    assert b"box.example" not in write.data


def test_the_urls_are_the_store_s_for_their_own_method(fed: SmallFederation) -> None:
    links = opened(fed, issuer(fed).bundle("site-01").data)
    assert {links.origin + x.target for x in links.gets} == {
        fake_url("GET", x.key) for x in links.gets
    }
    assert {links.origin + x.target for x in links.puts} == {
        fake_url("PUT", x.key) for x in links.puts
    }
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
    assert [key for key in mine if key.startswith("inbox/")] == puts, (
        "its own slots can be read back, to find a write whose answer was lost"
    )
    assert not any(f"site-0{i}" in key for key in gets + puts for i in (1, 3))
    kinds = {key.split("/")[2].rstrip("0123456789") for key in gets if key.startswith("rounds/")}
    assert kinds == {"plan", "result", "receipts", "links"}, "not accepted/, freeze or state"
    assert {key.split("/")[0] for key in gets} == {"rounds", "registry", "ledger", "inbox"}
    needed = (
        {Keys.registry(v) for v in (1, 2)}
        | {Keys.ledger(s) for s in range(1, 6 + 64 + 14)}
        | {Keys.result(r) for r in (1, 2, 3, 4, 11)}
    )
    needed |= (
        {Keys.plan(r) for r in (4, 11)}
        | {Keys.receipt(r, "site-02") for r in (1, 2, 3, 4, 11)}
        | {Keys.links(r, "site-02") for r in range(5, 12)}
    )
    assert needed <= set(gets)
    assert Keys.links(4, "site-02") not in gets


def test_a_bundle_reaches_gossip_with_ones_peers_where_the_roots_keep_a_share() -> None:
    """R-151."""
    share = Budget(gossip_epsilon=Decimal(2), gossip_delta=Decimal("0.00001"))
    policy = PolicyPack(lags=(1,))
    for budget in (share, Budget()):
        fed = SmallFederation(clients=12, store=SigningStore(), budget=budget, policy=policy)
        fed.open(1)
        reach = GossipReach(fed.reader(), 1)
        links = opened(fed, issuer(fed, mail=reach).bundle("site-03").data, "site-03")
        written = [x.key for x in links.puts if x.key.startswith("gossip/")]
        read = {x.key for x in links.gets if x.key.startswith("gossip/")}
        if budget is not share:
            assert (written, read) == ([], set())
            continue
        assert written == [Keys.gossip(r, e, "site-03") for r in (1, 2) for e in range(EPOCHS)]
        plan = terms_of(fed.reader(), "site-03", 1).plan
        peers = {Keys.gossip(1, 4, p) for p in plan.neighbours(4, "site-03")}
        assert peers | {Keys.gossip(1, 4, "site-03")} == {
            key for key in read if key.startswith("gossip/00000001/04/")
        }


def test_no_bundle_lets_a_client_write_anothers_gossip() -> None:
    fed = SmallFederation(store=SigningStore())
    fed.open(1)
    links = opened(fed, issuer(fed).bundle("site-01").data)

    def link(key: str) -> Link:
        return Link(key=key, target=f"/bucket/fed/{key}?x=1")

    for key in ("00000001/00/site-02", "00000001/site-01", "1/0/site-01", "00000001/00/a/site-01"):
        with pytest.raises(SchemaError, match="own gossip"):
            replace(links, puts=(link(f"gossip/{key}"),))
    own = link("gossip/00000001/00/site-01")
    assert replace(links, puts=(own,)).puts == (own,)


def test_the_newest_result_is_reached_however_old_it_is(fed: SmallFederation) -> None:
    fed.play(1)
    gets = {x.key for x in opened(fed, issuer(fed, 60).bundle("site-01").data).gets}
    assert Keys.result(1) in gets
    assert Keys.receipt(1, "site-01") in gets
    assert Keys.result(2) not in gets


def test_with_short_rounds_the_links_ahead_double_until_the_urls_end() -> None:
    fed = SmallFederation(store=SigningStore(), window_s=60)
    ahead = [
        int(x.key[7:15]) - 1
        for x in opened(fed, issuer(fed).bundle("site-01").data).gets
        if "/links/" in x.key
    ]
    assert ahead == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
    assert 8192 <= MAX_LIFETIME_S // 60 < 2 * 8192


@pytest.mark.parametrize(
    ("own_receipts", "kinds"),
    [(1, {"receipts", "receipt-pages"}), (3, {"receipts", "receipt-pages"}), (6, {"receipts"})],
)
def test_a_bundle_reaches_the_clients_page_where_there_may_be_pages(
    own_receipts: int, kinds: set[str]
) -> None:
    fed = SmallFederation(store=SigningStore(), limits=Limits(own_receipts=own_receipts))
    fed.play(1)
    fed.open(2)
    reader = fed.reader()
    bundle = LinkIssuer(
        store=fed.store, reader=reader, key_pair=fed.coordinator, round_id=2, now=fed.opens(2)
    ).bundle("site-02")
    links = opened(fed, bundle.data, "site-02")
    told = {x.key for x in links.gets if "/receipt" in x.key}
    assert {key.split("/")[2] for key in told} == kinds
    assert {key for key in told if "pages" in key} <= {
        Keys.receipt_page(r, page_of("site-02")) for r in range(1, 10)
    }
    table = LinkTable(replace(links, since=2), now=lambda: fed.opens(2))
    with pytest.raises(ObjectNotFound):
        table.url(
            "GET",
            Keys.receipt_page(1, page_of("site-02"))
            if own_receipts == 6
            else Keys.receipt_page(0, page_of("site-02")),
        )
    with pytest.raises(AccessDenied):
        table.url("GET", Keys.receipt_page(2, page_of("site-01")))


def test_a_client_that_came_later_has_no_earlier_receipts(fed: SmallFederation) -> None:
    for r in (1, 2):
        fed.play(r)
    newcomer = key_of("newcomer")
    record = replace(
        fed.registry.client("site-01"),
        client_id="site-09",
        keys=(replace(fed.registry.client("site-01").keys[0], keys=newcomer.public, valid_from=3),),
    )
    fed.amend(clients=(*fed.registry.clients, record))
    links = opened(fed, issuer(fed, 3).bundle("site-09").data, "site-09", key_pair=newcomer)
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
    for method, key in (
        ("GET", Keys.plan(1)),
        ("PUT", Keys.inbox(1, "site-01", 0)),
        ("GET", Keys.freeze(1)),
    ):
        with pytest.raises(AccessDenied, match="expired at 2026-01-01T01:00:00") as caught:
            table.url(method, key)
        assert "hyperfed links issue" in caught.value.remedy


def test_mail_is_reached_where_it_is_asked_for(fed: SmallFederation) -> None:
    links = opened(
        fed,
        issuer(fed, mail=MailBox(prefix="gossip/7", peers=("site-02",), count=2))
        .bundle("site-01")
        .data,
    )
    sent = ["gossip/7/site-02/site-01/000000000000", "gossip/7/site-02/site-01/000000000001"]
    assert [x.key for x in links.puts if x.key.startswith("gossip")] == sent
    received = [key.replace("site-02/site-01", "site-01/site-02") for key in sent]
    assert [x.key for x in links.gets if x.key.startswith("gossip")] == sorted(sent + received)


# Refused: bundles that nobody should make


# Files and issuing


def test_issuing_again_changes_nothing_and_strangers_are_named(fed: SmallFederation) -> None:
    fed.revoke("site-03", from_round=1)

    def issue(*clients: str) -> Issued:
        return issue_links(
            fed.store,
            clients,
            round_id=1,
            now=fed.opens(1),
            key_pair=fed.coordinator,
            fingerprint=fed.fingerprint,
        )

    first = issue("site-01", "site-03", "nobody", "site-01")
    assert (first.written, first.there, [client for client, _ in first.refused]) == (
        ("site-01",),
        (),
        ["nobody", "site-03"],
    )
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


def test_a_clock_that_is_off_is_said_before_links_are_made() -> None:
    class ClockOff(SigningStore):
        clock_skew_s = 3600.0

    store = ClockOff()
    fed = SmallFederation(store=store)
    before = fed.objects()
    with pytest.raises(ConfigError, match="3600 s ahead of the store's; 600 s are tolerated"):
        issue_links(
            store,
            fed.clients,
            round_id=1,
            now=fed.opens(1),
            key_pair=fed.coordinator,
            fingerprint=fed.fingerprint,
        )
    assert fed.objects() == before
    assert store.lifetimes == set()


def test_the_audit_verifies_whose_links_they_are(fed: SmallFederation) -> None:
    fed.open(1)
    issue_links(
        fed.store,
        fed.clients,
        round_id=1,
        now=fed.opens(1),
        key_pair=fed.coordinator,
        fingerprint=fed.fingerprint,
    )
    report = audit(fed.store, fingerprint=fed.fingerprint)
    assert (report.findings, report.checked["links"]) == ((), 3)
    fed.open(2)
    honest = fed.objects("rounds/00000001/links/")
    assert fed.store.put_if_absent(Keys.links(2, "site-01"), honest[Keys.links(1, "site-01")])
    forged = seal_links(
        opened(fed, issuer(fed, 2).bundle("site-02").data, "site-02"),
        recipients=[fed.keys["site-02"].public],
        key_pair=fed.keys["site-03"],
    )
    assert fed.store.put_if_absent(Keys.links(2, "site-02"), forged.data)
    assert fed.store.put_if_absent(Keys.links(2, "site-03"), issuer(fed, 2).bundle("site-01").data)
    found = {
        finding.key: finding.problem
        for finding in audit(fed.store, fingerprint=fed.fingerprint).findings
    }
    assert list(found) == [Keys.links(2, client) for client in fed.clients]
    assert "made for round 1" in found[Keys.links(2, "site-01")]
    assert "keys known here" in found[Keys.links(2, "site-02")]
    assert "made for 'site-01'" in found[Keys.links(2, "site-03")]


def test_only_the_coordinator_s_key_and_a_store_with_urls_issue(fed: SmallFederation) -> None:
    def issue(
        fed: SmallFederation, key_pair: KeyPair, clients: tuple[str, ...] = ("site-01",)
    ) -> Issued:
        return issue_links(
            fed.store,
            clients,
            round_id=1,
            now=fed.opens(1),
            key_pair=key_pair,
            fingerprint=fed.fingerprint,
        )

    with pytest.raises(ConfigError, match="not the coordinator's"):
        issue(fed, fed.keys["site-01"])
    plain = SmallFederation()
    with pytest.raises(ConfigError, match="no presigned URLs"):
        issue(plain, plain.coordinator)
    assert issue(plain, plain.coordinator, ()) == Issued(round=1), (
        "no client asks for links: a share will do"
    )
    for f in (fed, plain):
        assert f.objects("rounds/") == {}
    assert presigner_of(RetryingStore(fed.store)) is fed.store


def test_a_revoked_client_gets_no_bundle_and_a_coming_key_can_open_one(
    fed: SmallFederation,
) -> None:
    fed.revoke("site-03", from_round=5)
    assert issuer(fed, 4).bundle("site-03")
    for client in ("site-03", "nobody"):
        with pytest.raises(RegistryError):
            issuer(fed, 5).bundle(client)
    fresh, old = key_of("fresh"), fed.keys["site-01"]
    fed.rotate("site-01", fresh, from_round=6)
    assert opened(fed, issuer(fed, 5).bundle("site-01").data, key_pair=fresh)
    assert opened(fed, issuer(fed, 5).bundle("site-01").data, key_pair=old)
    with pytest.raises(SignatureError, match="sealed to"):
        opened(fed, issuer(fed, 7).bundle("site-01").data, key_pair=old)


@pytest.mark.parametrize("lifetime_s", [0, MAX_LIFETIME_S + 1])
def test_a_lifetime_that_no_url_can_have_is_refused(fed: SmallFederation, lifetime_s: int) -> None:
    with pytest.raises(ConfigError, match="604800"):
        issuer(fed, lifetime_s=lifetime_s)


def test_a_store_at_several_hosts_is_refused(
    fed: SmallFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts: Callable[..., str] = lambda self, key, *, expires_s: (  # noqa: E731
        f"https://{key.split('/')[0]}.example/{key}"
    )
    monkeypatch.setattr(SigningStore, "presign_get", hosts)
    with pytest.raises(ConfigError, match="several hosts"):
        issuer(fed).bundle("site-01")
