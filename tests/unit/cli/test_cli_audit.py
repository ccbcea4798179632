"""`hyperfed audit`: what it says of a sound drop-box, and that it names the first broken object and
exits with 1.
"""

from pathlib import Path

import pytest

from tests.damage import damaged
from tests.unit.cli.conftest import World


@pytest.fixture
def counted(world: World) -> World:
    world.night(1)
    return world


def _break(path: Path) -> None:
    path.chmod(0o640)
    data = path.read_bytes()
    path.write_bytes(damaged(data))


def test_a_sound_drop_box_holds(counted: World) -> None:
    objects = counted.objects()
    said = counted.desk.ok("audit", "--open-with", "coordinator.key")
    assert (said["findings"], said["first_broken"], said["fingerprint_compared"]) == (
        [],
        None,
        True,
    )
    assert said["checked"]["results recomputed"] == 1
    without = counted.desk.ok("audit")
    assert "results recomputed" not in without["checked"]
    assert any("no key was given" in remark for remark in without["remarks"])
    told = counted.desk("audit")
    assert (told.code, "everything that was checked holds" in told.out) == (0, True)
    assert counted.objects() == objects


@pytest.mark.parametrize(
    "key",
    [
        "registry/000001",
        "ledger/000000000001",
        "rounds/00000001/result",
        "rounds/00000001/receipts/texas",
    ],
)
def test_the_first_broken_object_is_named(counted: World, key: str) -> None:
    _break(counted.box / key)
    ran, told = counted.desk("audit", "--json"), counted.desk("audit")
    assert (ran.code, told.code) == (1, 1)
    assert (ran.json["ok"], ran.json["first_broken"], ran.json["error"]["subject"]) == (
        False,
        key,
        key,
    )
    assert ran.error["problem"]
    assert f"First broken  {key}" in told.out


def test_another_federations_fingerprint(counted: World) -> None:
    ran = counted.desk("audit", "--fingerprint", "ab" * 32, "--json")
    assert (ran.code, ran.json["first_broken"]) == (1, "registry/000001")
