"""A relay that lets everybody do anything has no more power than a bucket that does."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hyperfed.errors import PacketError
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import access_of_key
from hyperfed.storage.grpc_store import GRPCStore
from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM
from tests.store.relays import MayAnything, certificate_in, relay_before


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[SmallFederation]:
    """As every attack's, with every party at a relay of an operator who lets in whom it likes."""
    (tmp_path / "box").mkdir()
    box = FilesystemStore(tmp_path / "box")
    federation = SmallFederation(store=box, auditors=1)
    certificate = certificate_in(tmp_path)
    lax = MayAnything(box, fingerprint=federation.fingerprint)
    with relay_before(box, lax, certificate) as address:
        federation.store = GRPCStore(
            address,
            access=access_of_key(federation.keys["site-01"], now=datetime.now(UTC)),
            ca_file=certificate.certificate,
        )
        federation.open(1, quorum=3)
        federation.submit_all(round_id=1, but=[VICTIM])
        yield federation
        federation.store.close()


def test_a_relay_that_lets_everybody_do_anything_moves_no_round(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    """site-01 writes for the victim; and what it writes elsewhere is taken for nobody's."""
    key = fed.put(fed.envelope("site-01"), VICTIM)
    refuse(fed, key, "R-82")
    assert fed.store.put_if_absent(Keys.registry(2), fed.envelope("site-01"))
    with pytest.raises(PacketError) as raised:
        _ = fed.reader().registry
    assert "registry/000002" in str(raised.value)


def test_the_honest_twin_commits_over_it(fed: SmallFederation, commit: Callable[..., None]) -> None:
    fed.submit(VICTIM)
    commit(fed)
