"""Opening a round gives new links to the clients that the Drop-Box block names, and only to
those.
"""

from collections.abc import Callable

import pytest

import blocks.dropbox
from blocks import DropBox
from flows.open_round import open_round
from hyperfed.errors import ConfigError
from hyperfed.links.bundle import open_links
from hyperfed.links.link_table import LinkTable
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]


class SigningFolder(FilesystemStore):
    """A folder that makes URLs, as an S3 store does."""

    def presign_get(self, key: str, *, expires_s: int) -> str:
        return f"https://box.example/{key}?get"

    def presign_put_if_absent(self, key: str, *, expires_s: int) -> str:
        return f"https://box.example/{key}?put"


def by_link(name: str, *clients: str) -> None:
    box = DropBox.load(name)
    DropBox(url=box.url, fingerprint=box.fingerprint, clients_by_link=list(clients)).save(
        name, overwrite=True
    )


def test_who_is_named_gets_links_once(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    fed, name = found()
    monkeypatch.setattr(
        blocks.dropbox, "open_store", lambda url, **_: SigningFolder(url.removeprefix("file://"))
    )
    by_link(name, "site-02", "site-09")
    given = {
        "drop_box": name,
        "coordinator_keys": name,
        "federation_policy": name,
        "now": fed.opens(1),
    }
    open_round(**given)
    written = fed.objects("rounds/00000001/links/")
    assert list(written) == [Keys.links(1, "site-02")], (
        "site-09 is nobody: named in the log, no reason to stop"
    )
    links = open_links(
        written[Keys.links(1, "site-02")],
        federation=fed.registry.federation,
        client="site-02",
        key_pair=fed.keys["site-02"],
        coordinator_key=fed.registry.coordinator_key,
        key=Keys.links(1, "site-02"),
    )
    assert (
        LinkTable(links, now=lambda: fed.opens(1)).url("PUT", Keys.inbox(1, "site-02", 0))
        == "https://box.example/inbox/00000001/site-02/0?put"
    )
    open_round(**given)
    assert fed.objects("rounds/00000001/links/") == written


def test_a_share_makes_no_links_and_says_so(found: Found) -> None:
    fed, name = found()
    given = {
        "drop_box": name,
        "coordinator_keys": name,
        "federation_policy": name,
        "now": fed.opens(1),
    }
    open_round(**given)
    assert fed.objects("rounds/00000001/links/") == {}
    by_link(name, "site-02")
    store: ObjectStore = fed.store
    before = [info.key for info in store.list("")]
    with pytest.raises(ConfigError, match="no presigned URLs"):
        open_round(**given)
    assert [info.key for info in store.list("")] == before
