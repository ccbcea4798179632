"""What a presigned URL does not let its holder do, on a real server."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import AccessDenied, TransportError
from hyperfed.links.bundle import Links
from hyperfed.links.issuing import LinkIssuer
from hyperfed.links.link_table import LinkTable
from hyperfed.links.presigned_store import PresignedStore
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.store.opened_links import OneLink, links_of
from tests.store.scripted_server import http


class Box:
    """A federation on a real server, and site-01's links."""

    def __init__(self, server: SeaweedFS, prefix: str) -> None:
        self.signer = server.store("suite", prefix=prefix)
        self.fed = SmallFederation(store=self.signer)
        self.fed.open(1)
        self.links = self.issue()

    def issue(self, client: str = "site-01", **options: Any) -> Links:
        reader = DropBoxReader(self.signer, fingerprint=self.fed.fingerprint)
        issuer = LinkIssuer(
            store=self.signer,
            reader=reader,
            key_pair=self.fed.coordinator,
            round_id=1,
            now=datetime.now(UTC),
            **options,
        )
        return links_of(self.fed, issuer, client)

    def url(self, method: str, key: str, links: Links | None = None) -> str:
        return LinkTable(links or self.links, now=lambda: datetime.now(UTC)).url(method, key)


@pytest.fixture
def box(seaweedfs: SeaweedFS, new_prefix: Callable[[], str]) -> Box:
    return Box(seaweedfs, new_prefix())


MINE = Keys.inbox(1, "site-01", 0)


@pytest.mark.seaweedfs
def test_the_probe_s_races_hold_over_urls(box: Box) -> None:
    store = PresignedStore(LinkTable(box.links, now=lambda: datetime.now(UTC)))
    start = threading.Barrier(6)

    def run(racer: int) -> bool:
        start.wait()
        return store.put_if_absent(MINE, b"%d" % racer * 100)

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(run, range(6)))
    assert sorted(told) == [False] * 5 + [True]
    assert store.read(MINE, max_bytes=100) == b"%d" % told.index(True) * 100
    assert store.put_if_absent(MINE, b"again") is False
    assert [info.key for info in store.list(Keys.inbox(1, "site-01"))] == [MINE]


CHANGES: dict[str, Callable[[str], str]] = {
    "another's folder": lambda url: url.replace("site-01", "site-02"),
    "another slot": lambda url: url.replace("/site-01/0", "/site-01/3"),
    "another round": lambda url: url.replace("inbox/00000001", "inbox/00000002"),
    "the result": lambda url: url.replace("inbox/00000001/site-01/0?", "rounds/00000001/result?"),
    "dots": lambda url: url.replace("/site-01/0?", "/site-01/../site-02/0?"),
    "escaped dots": lambda url: url.replace("/site-01/0?", "/site-01/%2e%2e/site-02/0?"),
    "a longer life": lambda url: url.replace("X-Amz-Expires=604800", "X-Amz-Expires=604801"),
    "another life": lambda url: url.replace("X-Amz-Expires=604800", "X-Amz-Expires=6048"),
    "no condition": lambda url: url.replace(
        "X-Amz-SignedHeaders=host%3Bif-none-match", "X-Amz-SignedHeaders=host"
    ),
    "another signature": lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
    "no signature": lambda url: url.partition("?")[0],
}


@pytest.mark.seaweedfs
def test_a_changed_url_writes_nothing(box: Box) -> None:
    before, honest = box.fed.objects(), box.url("PUT", MINE)
    for name, change in CHANGES.items():
        assert change(honest) != honest, name
        with pytest.raises(TransportError) as caught:
            PresignedStore(OneLink(change(honest))).put_if_absent(MINE, b"forged")
        assert type(caught.value) in (AccessDenied, TransportError), (
            f"{name}: refused, and not worth another try"
        )
        assert caught.value.remedy
        assert box.fed.objects() == before, name
    assert PresignedStore(OneLink(honest)).put_if_absent(MINE, b"honest") is True


@pytest.mark.seaweedfs
def test_a_url_is_for_one_method_and_its_condition(box: Box) -> None:
    before = box.fed.objects()
    put, plan = box.url("PUT", MINE), box.url("GET", Keys.plan(1))
    condition = {"If-None-Match": "*"}
    assert http("PUT", put, b"x")[0] == 403, "without the condition"
    assert http("PUT", put, b"x", {"If-None-Match": '"etag"'})[0] == 403, "with another one"
    assert http("DELETE", put, None, condition)[0] == 403
    assert http("GET", put, None, condition)[0] == 403
    assert http("POST", put, b"x", condition)[0] in (403, 405)
    for method in ("PUT", "DELETE", "HEAD"):
        assert http(method, plan, b"x" if method == "PUT" else None, condition)[0] == 403
    assert box.fed.objects() == before
    assert http("GET", plan)[0] == 200
    assert http("PUT", put, b"first", condition)[0] == 200
    assert http("PUT", put, b"second", condition)[0] == 412
    assert http("DELETE", put, None, condition)[0] == 403
    assert box.signer.read(MINE, max_bytes=9) == b"first"


@pytest.mark.seaweedfs
def test_a_url_that_reads_one_object_reads_no_other(box: Box) -> None:
    assert box.signer.put_if_absent(Keys.inbox(1, "site-02", 0), b"sealed to the coordinator")
    url = box.url("GET", MINE)
    for other in (Keys.inbox(1, "site-02", 0), Keys.state(1), Keys.freeze(1), Keys.plan(1)):
        with pytest.raises(AccessDenied, match="refuses the link"):
            PresignedStore(OneLink(url.replace(MINE, other))).read(other, max_bytes=1000)
    whole = urlsplit(url)
    listing = urlunsplit(whole._replace(path="/suite", query=f"list-type=2&{whole.query}"))
    assert http("GET", listing)[0] == 403


@pytest.mark.seaweedfs
def test_an_expired_url_is_refused_by_the_store_and_says_what_to_do(box: Box) -> None:
    links = box.issue(lifetime_s=1)
    time.sleep(2.2)
    before = box.fed.objects()
    # whose own clock does not notice
    forgetful = PresignedStore(LinkTable(links, now=lambda: links.issued))
    for call in (
        lambda: forgetful.put_if_absent(MINE, b"late"),
        lambda: forgetful.read(Keys.plan(1), max_bytes=1000),
    ):
        with pytest.raises(AccessDenied, match="expired") as caught:
            call()
        assert "hyperfed links issue" in caught.value.remedy
    assert box.fed.objects() == before
    with pytest.raises(AccessDenied, match="expired at"):
        PresignedStore(LinkTable(links, now=lambda: datetime.now(UTC))).read(
            Keys.plan(1), max_bytes=1000
        )
