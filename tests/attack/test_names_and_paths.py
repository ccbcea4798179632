"""`../`, `%2f`, NUL, backslashes and look-alike ids: no spelling of them is a client, a key, or a
folder.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from hyperfed.errors import ConfigError, HyperfedError, QuorumMissed, RegistryError, SchemaError
from hyperfed.protocol.object_keys import parse_inbox_key
from hyperfed.registry.registry import ClientRecord, KeyRecord
from hyperfed.registry.windows import check_client_id
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectInfo
from hyperfed.testing.federation import SmallFederation, key_of
from tests.attack.conftest import VICTIM

BAD_IDS = [
    "../site-01",
    "..",
    "site-01/..",
    "site%2f01",
    "site%2F01",
    "site-01%00",
    "site-01\0",
    "site-01\n",
    "\nsite-01",
    "site 01",
    "site\\01",
    "site/01",
    "Site-01",
    "SITE-01",
    "s\u0456te-01",
    "site\u201001",
    "site-\uff101",
    "\u200bsite-01",
    "site-01\u202e",
    "sit\u00e9-01",
    "-site",
    "ab",
    "x" * 33,
    "",
    "_site01",
    "site.01",
    "~root",
    "$HOME",
    "a;b",
    "site-01 ",
    " site-01",
    "\u0661\u0662\u0663",
]


@pytest.mark.parametrize("client_id", BAD_IDS)
def test_no_look_alike_is_a_client(fed: SmallFederation, client_id: str) -> None:
    objects = fed.objects()
    with pytest.raises(ConfigError) as caught:
        check_client_id(client_id)
    assert caught.value.rule == "R-22"
    with pytest.raises(HyperfedError):
        ClientRecord(
            client_id=client_id,
            organisation="x",
            keys=(KeyRecord(keys=key_of("look-alike").public),),
        )
    with pytest.raises(HyperfedError):
        fed.store.put_if_absent(f"inbox/00000001/{client_id}/0/../0", b"")
    assert fed.objects() == objects


def test_ids_that_differ_in_a_hyphen_alone_are_not_both_registered(fed: SmallFederation) -> None:
    objects = fed.objects()
    twin = ClientRecord(
        client_id="site_03", organisation="x", keys=(KeyRecord(keys=key_of("twin").public),)
    )
    both = sorted((*fed.registry.clients, twin), key=lambda record: record.client_id)
    with pytest.raises(RegistryError, match="looks like site_03") as caught:
        replace(fed.registry, clients=tuple(both))
    assert (caught.value.rule, caught.value.subject) == ("R-22", "client site-03")
    assert fed.objects() == objects


def test_an_id_with_an_underscore_works_from_the_agent_to_the_receipt() -> None:
    """As the reference writes it."""
    fed = SmallFederation(clients=("hospital_1", "hospital_2", "hospital_3"))
    fed.open(1)
    fed.submit_all(round_id=1)
    assert fed.run(1).counted == 3
    receipt = fed.session("hospital_1").receipt(1)
    assert receipt is not None
    assert receipt.client == "hospital_1"


@pytest.mark.parametrize(
    "client_id", ["coordinator", "clients", "root", "all", "auditor", "registry"]
)
def test_no_client_has_another_partys_name(client_id: str) -> None:
    """Headers name the coordinator and the audiences by these words."""
    with pytest.raises(RegistryError) as caught:
        ClientRecord(
            client_id=client_id, organisation="x", keys=(KeyRecord(keys=key_of("x").public),)
        )
    assert caught.value.rule == "R-22"


BAD_KEYS = [
    "inbox/00000001/../00000001/site-03/0",
    "inbox/00000001/site-03/../site-03/0",
    "inbox/00000001//site-03/0",
    "inbox/00000001/site-03/0/",
    "/inbox/00000001/site-03/0",
    "inbox/00000001/site-03/4",
    "inbox/00000001/site-03/00",
    "inbox/00000001/site-03/-1",
    "inbox/00000001/site-03/+1",
    "inbox/00000001/site-03/\u0661",
    "inbox/1/site-03/0",
    "inbox/00000000/site-03/0",
    "inbox/\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661/site-03/0",
    "inbox/00000001/site-03/0\0",
    "inbox/00000001/site-03/0\n",
    "inbox%2f00000001%2fsite-03%2f0",
    "inbox/00000001/site%2d03/0",
    "inbox/00000001/SITE-03/0",
    "inbox\\00000001\\site-03\\0",
    "INBOX/00000001/site-03/0",
    "inbox/00000001/site-03",
    "inbox/00000001/site-03/0.bak",
    "inbox/" + "9" * 5000 + "/site-03/0",
    "inbox/0x000001/site-03/0",
    "inbox/00000001/s\u0456te-03/0",
    "rounds/00000001/site-03/0",
    "",
    "inbox/000000001/site-03/0",
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_no_other_spelling_is_a_folder(key: str) -> None:
    with pytest.raises(SchemaError) as caught:
        parse_inbox_key(key)
    assert caught.value.rule == "R-82"
    assert str(caught.value).isprintable()


class LyingStore(MemoryStore):
    """A bucket whose owner lists what no client can write: honest bytes under crooked names."""

    def __init__(self) -> None:
        super().__init__()
        self.crooked: dict[str, bytes] = {}

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return self.crooked[key] if key in self.crooked else super().read(key, max_bytes=max_bytes)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from super().list(prefix)
        yield from (
            ObjectInfo(key=k, size=len(v))
            for k, v in self.crooked.items()
            if prefix.startswith("inbox/")
        )


@pytest.mark.parametrize(
    "key", [k for k in BAD_KEYS if k.startswith("inbox/00000001/") and len(k) < 600]
)
def test_an_honest_update_under_a_crooked_name_does_not_count(key: str) -> None:
    store = LyingStore()
    fed = SmallFederation(store=store)
    fed.open(1, quorum=3)
    fed.submit_all(but=[VICTIM])
    store.crooked[key] = fed.envelope(VICTIM)
    before = fed.decided()
    judged = fed.judge(1)
    assert VICTIM not in {a.client for a in judged.admitted}
    assert {r.rule for r in judged.refused} <= {"R-82"}
    assert all(r.key.isprintable() for r in judged.refused)
    with pytest.raises(QuorumMissed):
        fed.run(1)
    assert fed.decided() == before


def test_a_thousand_crooked_names_do_not_fill_the_freeze() -> None:
    store = LyingStore()
    fed = SmallFederation(store=store)
    fed.open(1)
    store.crooked = {f"inbox/00000001/{VICTIM}/junk-{i}": b"x" for i in range(1000)}
    fed.submit_all()
    assert fed.run(1).counted == 3
    frozen = fed.reader().freeze(1)
    assert frozen is not None
    assert len(frozen.value.refused) <= 64


def test_the_honest_twin(fed: SmallFederation, commit: Callable[..., None]) -> None:
    assert parse_inbox_key(fed.submit(VICTIM).key) == (1, VICTIM, 0)
    commit(fed)
