"""A mistake of ours is nobody else's: no client is refused for it, no drop-box called broken, and
the command says to report it.
"""

from collections.abc import Iterator

import pytest

from hyperfed.client import ClientMemory
from hyperfed.codec import records
from hyperfed.operations.audit import audit
from tests.unit.cli.conftest import CLIENTS, World

MISTAKE = r"Update\.measured: .* is no wire type"


@pytest.fixture
def counted(world: World) -> World:
    """A round that is over and one that waits for its night."""
    world.night(1)
    world.federation.memories = {client: ClientMemory() for client in CLIENTS}
    world.federation.open(2)
    world.federation.submit_all(round_id=2)
    return world


@pytest.fixture
def broken(counted: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The reader no longer knows which fields are columns: as when it took numpy's aliases apart,
    and numpy built them anew.
    """
    monkeypatch.setattr(records, "columns_of", lambda kind: {})
    _forget()
    yield counted
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for remembered in (records._reader, records._readers):
        remembered.cache_clear()


def test_a_round_refuses_nobody_and_decides_nothing(broken: World) -> None:
    objects = broken.objects()
    with pytest.raises(TypeError, match=MISTAKE):
        broken.federation.run(2)
    assert broken.objects() == objects


def test_pull_says_that_it_is_ours(broken: World) -> None:
    objects, files = broken.objects(), broken.files()
    # the ledger was read and verified: that is remembered, and nothing else
    kept = {name for name in files if "memory.json" not in name}
    error = broken.desk.fails(70, "pull", "--out", "model")
    assert "unexpected TypeError: GlobalModel.measured: " in error["problem"]
    assert "please report it" in error["remedy"]
    assert broken.objects() == objects
    assert {name: data for name, data in broken.files().items() if name in kept} == {
        name: files[name] for name in kept
    }
    assert ClientMemory(broken.desk.folder / "texas.memory.json").marks.broadcast_round == 0
    assert not (broken.desk.folder / "model").exists()


@pytest.mark.parametrize("keys", [(), ("--open-with", "coordinator.key")])
def test_an_audit_finds_no_fault_in_the_drop_box(broken: World, keys: tuple[str, ...]) -> None:
    error = broken.desk.fails(70, "audit", *keys)
    assert "unexpected TypeError: GlobalModel.measured: " in error["problem"]
    with pytest.raises(TypeError, match="is no wire type"):
        audit(broken.federation.store, broken.federation.fingerprint)


def test_with_the_reader_whole_nothing_was_lost(counted: World) -> None:
    """The honest twin."""
    counted.desk.ok("pull", "--out", "model")
    assert counted.federation.run(2).counted == len(CLIENTS)
    assert counted.desk.ok("audit", "--open-with", "coordinator.key")["findings"] == []
