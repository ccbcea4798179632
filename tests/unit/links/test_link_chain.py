"""From the operator's file to the newest links, over a fake of the way there (R-53): away for days,
lost connections, forged and expired bundles.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hyperfed.client.memory import ClientMemory
from hyperfed.client.opening import HURRIED_S, Opening
from hyperfed.client.session import ClientSession
from hyperfed.client.settings import load_settings
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    HyperfedError,
    RegistryError,
    SignatureError,
    TransientError,
)
from hyperfed.links.bundle import Links, LinksFile, seal_links
from hyperfed.links.following import LinkChain
from hyperfed.links.issuing import issue_links
from hyperfed.links.link_table import LinkSource
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import KeyRecord, sign_registry
from hyperfed.storage.store import ObjectInfo, ObjectStore
from hyperfed.testing.federation import SmallFederation, key_of
from tests.unit.links.signing_store import ORIGIN, SigningStore, fake_url, issuer, opened

ME = "site-01"


class Reached(ObjectStore):
    """What `links` reach of a store: a URL must be the one that was made for method and key. asked:
    every request.
    """

    def __init__(
        self, links: LinkSource, behind: ObjectStore, asked: list[str], *, broken: list[str]
    ) -> None:
        self.links, self.behind, self.asked, self.broken = links, behind, asked, broken

    def _ask(self, method: str, key: str) -> None:
        assert self.links.url(method, key) == fake_url(method, key)
        self.asked.append(f"{method} {key}")
        if self.broken and self.broken[0] in key:
            self.broken.pop(0)
            raise TransientError("the connection was lost", subject=key)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self._ask("PUT", key)
        return self.behind.put_if_absent(key, data)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self._ask("GET", key)
        return self.behind.read(key, max_bytes=max_bytes)

    def head(self, key: str) -> ObjectInfo | None:
        self._ask("GET", key)
        return self.behind.head(key)

    def list(self, prefix: str) -> Any:
        return iter(
            [info for key in self.links.readable(prefix) if (info := self.head(key)) is not None]
        )


class Client:
    """A client that has a file and its key, and nothing else."""

    def __init__(self, fed: SmallFederation, folder: Path) -> None:
        self.fed, self.file, self.kept = (
            fed,
            folder / "first-links.hfl",
            folder / "first-links.hfl.newest",
        )
        self.now = fed.opens(1) + timedelta(hours=1)
        self.asked: list[str] = []
        self.broken: list[str] = []
        self.memory = ClientMemory()
        self.keys = fed.keys[ME]
        self.file.write_bytes(issuer(fed).file(ME))

    def reach(self, links: LinkSource) -> ObjectStore:
        return Reached(links, self.fed.store, self.asked, broken=self.broken)

    def chain(self, **changes: Any) -> LinkChain:
        self.asked.clear()
        given = {
            "client_id": ME,
            "key_pair": self.keys,
            "fingerprint": self.fed.fingerprint,
            "now": lambda: self.now,
            "reach": self.reach,
        }
        return LinkChain(self.file, **(given | changes))

    def session(self) -> ClientSession:
        return ClientSession(
            self.reach(self.chain()),
            client_id=ME,
            key_pair=self.keys,
            fingerprint=self.fed.fingerprint,
            memory=self.memory,
        )

    def at(self, round_id: int) -> datetime:
        self.now = self.fed.opens(round_id) + timedelta(hours=1)
        return self.now


@pytest.fixture
def fed() -> SmallFederation:
    return SmallFederation(store=SigningStore())


@pytest.fixture
def client(fed: SmallFederation, tmp_path: Path) -> Client:
    return Client(fed, tmp_path)


def issue(fed: SmallFederation, *rounds: int) -> None:
    for r in rounds:
        issue_links(
            fed.store,
            [ME],
            round_id=r,
            now=fed.opens(r),
            key_pair=fed.coordinator,
            fingerprint=fed.fingerprint,
        )


def test_a_client_with_nothing_but_its_links_takes_part_every_night(
    fed: SmallFederation, client: Client
) -> None:
    for r in range(1, 12):
        fed.open(r)
        issue(fed, *([r] if r > 1 else []))
        now = client.at(r)
        sent = client.session().submit(fed.update(ME), now=now)
        assert sent.key == Keys.inbox(r, ME, 0)
        fed.submit_all(round_id=r, but=[ME])
        assert fed.run(r).counted == 3
        client.at(r + 1)
        session = client.session()
        pulled, receipt = session.pull(now=client.now), session.receipt(r)
        assert pulled is not None
        assert (pulled.value.round, receipt and receipt.fate.value) == (r, "counted")
    assert client.memory.marks.broadcast_round == 11
    assert client.chain().links.round == 11


def test_a_client_that_lost_its_memory_finds_its_sequence_through_its_links(
    fed: SmallFederation, client: Client
) -> None:
    fed.play(1)
    for r in range(2, 31):
        fed.play(r, but=[ME])
    fed.open(31)
    client.file.write_bytes(issuer(fed, 31).file(ME))
    client.memory = ClientMemory()
    sent = client.session().submit(fed.update(ME), now=client.at(31))
    assert sent.sequence > 1024, (
        "above what round 1's receipt says; the receipts between say nothing"
    )


def test_opening_asks_nobody_and_the_same_round_looks_for_nothing(client: Client) -> None:
    chain = client.chain()
    assert chain.links.round == 1
    assert chain.url("GET", Keys.plan(1)) == fake_url("GET", Keys.plan(1))
    assert client.asked == []


@pytest.mark.parametrize("there", [(2, 3, 4, 5, 6, 7), (7,), (3, 5), (2,)], ids=str)
def test_after_days_away_the_newest_is_found_at_once(
    fed: SmallFederation, client: Client, there: tuple[int, ...]
) -> None:
    issue(fed, *there)
    client.at(7)
    chain = client.chain()
    assert chain.url("GET", Keys.plan(7))
    assert chain.links.round == max(there)
    asked = [key for key in client.asked if "/links/" in key]
    missing_above = [f"GET {Keys.links(r, ME)}" for r in range(7, max(there), -1)]
    assert asked == [*missing_above, f"GET {Keys.links(max(there), ME)}", *missing_above], (
        "the farthest first, then from there on again"
    )


def test_with_rounds_of_a_minute_a_week_s_absence_takes_a_few_hops(tmp_path: Path) -> None:
    fed = SmallFederation(store=SigningStore(), window_s=60)
    client = Client(fed, tmp_path)
    hops = [1 + 4096, 1 + 4096 + 2048, 1 + 4096 + 2048 + 512, 1 + 4096 + 2048 + 512 + 5]
    issue(fed, 2, 3, 9, 17, *hops)
    client.now = fed.opens(hops[-1])
    chain = client.chain()
    chain.url("GET", Keys.plan(hops[-1]))
    assert chain.links.round == hops[-1]
    assert len([key for key in client.asked if "/links/" in key]) < 40


def test_a_long_lived_process_looks_again_when_the_next_round_begins(
    fed: SmallFederation, client: Client
) -> None:
    chain = client.chain()
    chain.url("GET", Keys.plan(1))
    issue(fed, 2)
    client.at(2)
    chain.url("GET", Keys.plan(2))
    assert chain.links.round == 2
    client.asked.clear()
    chain.url("GET", Keys.plan(2))
    assert client.asked == []


def test_what_was_found_is_kept_sealed_and_the_next_run_starts_there(
    fed: SmallFederation, client: Client
) -> None:
    issue(fed, 5)
    client.at(5)
    client.chain().url("GET", Keys.plan(5))
    kept = client.kept.read_bytes()
    assert b"X-Sig" not in kept
    assert ORIGIN.encode() not in kept
    assert LinksFile.from_bytes(kept).envelope == fed.store.read(
        Keys.links(5, ME), max_bytes=1 << 20
    )
    again = client.chain()
    assert again.links.round == 5
    assert again.url("GET", Keys.plan(5))
    assert client.asked == []
    client.now = fed.opens(1) + timedelta(days=8)  # the file has expired, what was kept has not
    assert client.chain().url("GET", Keys.plan(9))


def test_a_lost_connection_is_gone_on_from(fed: SmallFederation, client: Client) -> None:
    fed.amend()
    issue(fed, 3)
    client.at(3)
    chain = client.chain()
    for lost_at in ("links/", "registry/"):
        client.broken.append(lost_at)
        with pytest.raises(TransientError):
            chain.url("GET", Keys.plan(3))
        assert chain.links.round == 1
        assert not client.kept.exists()
    assert chain.url("GET", Keys.plan(3))
    assert chain.links.round == 3
    assert len(LinksFile.from_bytes(client.kept.read_bytes()).registries) == 2


def test_links_signed_with_a_new_coordinator_s_key_are_verified_with_the_registry_of_then(
    fed: SmallFederation, client: Client
) -> None:
    fresh = key_of("coordinator of next week")
    fed.amend(coordinators=(*fed.registry.coordinators, KeyRecord(keys=fresh.public, valid_from=4)))
    fed.coordinator = fresh
    issue(fed, 4)
    client.at(4)
    chain = client.chain()
    assert chain.url("GET", Keys.plan(4))
    assert chain.links.round == 4


def test_away_for_too_long_says_what_to_do_and_a_new_file_helps(
    fed: SmallFederation, client: Client
) -> None:
    issue(fed, 3)
    client.at(3)
    client.chain().url("GET", Keys.plan(3))
    client.at(20)
    issue(fed, 20)
    before = fed.objects()
    with pytest.raises(AccessDenied, match="expired at 2026-01-10") as caught:
        client.session().plan_at(client.now)
    assert "hyperfed links issue" in caught.value.remedy
    assert client.asked == []
    assert fed.objects() == before
    client.file.write_bytes(issuer(fed, 20).file(ME))
    assert client.chain().links.round == 20, "the operator's newer file wins over what was kept"
    assert client.chain().url("GET", Keys.plan(20))


def test_older_links_serve_where_newer_ones_do_not_reach(
    fed: SmallFederation, client: Client
) -> None:
    chain = client.chain()
    issue(fed, 7)
    client.at(7)
    assert chain.url("PUT", Keys.inbox(7, ME, 0))
    assert chain.url("PUT", Keys.inbox(1, ME, 0)), "round 1's slots are only in the first bundle"
    assert Keys.inbox(1, ME, 0) in chain.readable("inbox/")
    client.now += timedelta(days=2)
    with pytest.raises(AccessDenied):
        chain.url("PUT", Keys.inbox(1, ME, 0))
    assert Keys.inbox(1, ME, 0) not in chain.readable("inbox/")


# Refused


def forged(fed: SmallFederation, **changes: Any) -> bytes:
    """A bundle of round 3 that is not what it seems."""
    links: Links = opened(fed, issuer(fed, 3).bundle(ME).data)
    fields = {name: getattr(links, name) for name in Links.__dataclass_fields__}
    by = changes.pop("by", fed.coordinator)
    return seal_links(
        Links(**(fields | changes)), recipients=[fed.keys[ME].public], key_pair=by
    ).data


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda fed: forged(fed, by=fed.keys["site-02"]), SignatureError),
        (lambda fed: forged(fed, by=KeyPair.generate()), SignatureError),
        (lambda fed: forged(fed, round=2), HyperfedError),
        (lambda fed: forged(fed, federation="other-fed"), HyperfedError),
        (lambda fed: issuer(fed, 3).bundle("site-02").data, HyperfedError),
        (lambda fed: issuer(fed, 3).bundle(ME).data[:-1], HyperfedError),
        (lambda fed: fed.store.read(Keys.registry(1), max_bytes=1 << 20), SignatureError),
        (lambda fed: b"", HyperfedError),
    ],
    ids=[
        "another client's key",
        "a stranger's key",
        "another round",
        "another federation",
        "another client's",
        "cut off",
        "another type",
        "empty",
    ],
)
def test_a_forged_bundle_is_refused_and_nothing_moves(
    fed: SmallFederation,
    client: Client,
    make: Callable[[SmallFederation], bytes],
    kind: type[HyperfedError],
) -> None:
    fed.open(3)
    assert fed.store.put_if_absent(Keys.links(3, ME), make(fed))
    before = fed.objects()
    client.at(3)
    with pytest.raises(kind) as caught:
        client.session().submit(fed.update(ME), now=client.now)
    assert Keys.links(3, ME) in str(caught.value)
    assert fed.objects() == before
    assert not client.kept.exists()
    assert client.memory.marks.sequence == 0
    assert not any(key.startswith("PUT") for key in client.asked)


def test_a_file_of_another_federation_or_client_asks_nobody(
    fed: SmallFederation, client: Client
) -> None:
    with pytest.raises(RegistryError, match="fingerprint"):
        client.chain(fingerprint="0" * 64)
    with pytest.raises(HyperfedError, match="made for 'site-01'"):
        client.chain(client_id="site-02", key_pair=fed.keys["site-02"])
    with pytest.raises(SignatureError, match="sealed to"):
        client.chain(key_pair=fed.keys["site-02"])
    other = SmallFederation(store=SigningStore(), name="other-fed")
    client.file.write_bytes(
        LinksFile(
            registries=(fed.objects("registry/")[Keys.registry(1)],),
            envelope=issuer(other).bundle(ME).data,
        ).to_bytes()
    )
    with pytest.raises(SignatureError, match="known here"):
        client.chain()
    assert client.asked == []


def test_files_that_cannot_be_read_or_written_are_named(
    fed: SmallFederation, client: Client
) -> None:
    issue(fed, 2)
    client.at(2)
    client.kept.mkdir()
    with pytest.raises(
        ConfigError, match=r"newest: cannot be written: .* where this client can write"
    ):
        client.chain().url("GET", Keys.plan(2))
    client.file.unlink()
    with pytest.raises(ConfigError, match="hyperfed links first"):
        client.chain()


@pytest.mark.parametrize("spoil", ["cut", "another key's"])
def test_kept_links_of_no_use_are_left_aside(
    fed: SmallFederation, client: Client, spoil: str
) -> None:
    issue(fed, 2)
    client.at(2)
    client.chain().url("GET", Keys.plan(2))
    if spoil == "cut":
        client.kept.write_bytes(client.kept.read_bytes()[:-1])
    else:
        links = opened(fed, fed.store.read(Keys.links(2, ME), max_bytes=1 << 20))
        envelope = seal_links(
            links, recipients=[key_of("lost").public], key_pair=fed.coordinator
        ).data
        client.kept.write_bytes(
            LinksFile(
                registries=tuple(fed.objects("registry/").values()), envelope=envelope
            ).to_bytes()
        )
    chain = client.chain()
    assert chain.links.round == 1
    assert chain.url("GET", Keys.plan(2))
    assert chain.links.round == 2


@pytest.mark.parametrize("brings", ["another registry", "the same registry, signed by other roots"])
def test_kept_links_that_bring_another_registry_are_left_aside(tmp_path: Path, brings: str) -> None:
    """R-23. The bundle in it is good and newer; the registry beside it is not the one that the
    operator's file brought.
    """
    fed = SmallFederation(store=SigningStore(), roots=3, threshold=2)
    client = Client(fed, tmp_path)
    issue(fed, 2)
    client.at(2)
    client.chain().url("GET", Keys.plan(2))
    kept = LinksFile.from_bytes(client.kept.read_bytes())
    same = brings != "another registry"
    registry = fed.registry if same else replace(fed.registry, window_s=fed.registry.window_s + 60)
    signed = sign_registry(registry, fed.roots[1:])
    assert signed != kept.registries[0]
    client.kept.write_bytes(replace(kept, registries=(signed,)).to_bytes())
    before, there = client.kept.read_bytes(), fed.objects()
    chain = client.chain()
    assert chain.links.round == (2 if same else 1)
    assert client.asked == []
    assert client.kept.read_bytes() == before
    assert fed.objects() == there
    assert chain.url("GET", Keys.plan(2))
    assert chain.links.round == 2


def test_newer_links_are_reached_by_the_certificates_and_the_patience_of_the_first(
    fed: SmallFederation, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store with an authority of its own lost its clients by link after their first round."""
    opened_with: list[tuple[Any, Any]] = []

    def presigned(links: LinkSource, *, limits: Any = None, ca_file: Any = None) -> ObjectStore:
        opened_with.append((ca_file, limits and limits.read_timeout_s))
        return client.reach(links)

    monkeypatch.setattr("hyperfed.links.presigned_store.PresignedStore", presigned)
    fed.play(1)
    fed.open(2)
    issue(fed, 2)
    client.keys.save(tmp_path / "site.key")
    (tmp_path / "hyperfed.toml").write_text(
        f'[store]\nlinks = "{client.file.name}"\nca_file = "ours.pem"\n[federation]\n'
        f'fingerprint = "{fed.fingerprint}"\n[client]\nid = "{ME}"\nkey = "site.key"\n'
    )
    client.at(2)
    settings = load_settings(tmp_path / "hyperfed.toml")
    opening = Opening(settings, now=lambda: client.now)
    opening.hurried = True
    assert opening.store.head(Keys.plan(2)) is not None, "the newer links reach it"
    assert len(opened_with) > 1, "the newer links were looked for"
    assert set(opened_with) == {(tmp_path / "ours.pem", HURRIED_S)}
