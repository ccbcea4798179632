"""`upgrade_steps`: what it says of an upgrade is what then happens, on drop-boxes that an earlier
version left and on today's.
"""

import json
import re
import runpy
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hyperfed.codec import payload
from hyperfed.codec.reading import leading_int
from hyperfed.config import Limits
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import AccessDenied
from hyperfed.merge.pooling import FORMULA
from hyperfed.operations import upgrading
from hyperfed.operations.upgrading import UpgradeStep, prefect_step, upgrade_steps
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation

VECTORS = Path(__file__).parents[2] / "vectors"
BOXES = VECTORS / "dropboxes"
MAKE: dict[str, Any] = runpy.run_path(str(VECTORS / "make_dropboxes.py"), run_name="make_dropboxes")
INDEX: dict[str, Any] = json.loads((BOXES / "index.json").read_text())


def reader_of(name: str, store: MemoryStore) -> DropBoxReader:
    about = INDEX[name]
    limits = Limits(own_receipts=about["own_receipts"])
    return DropBoxReader(store, fingerprint=about["fingerprint"], limits=limits)


def steps_of(name: str, store: MemoryStore) -> dict[str, UpgradeStep]:
    night = datetime.fromisoformat(INDEX[name]["night"])
    return {s.name: s for s in upgrade_steps(reader_of(name, store), night)}


def today(policy: PolicyPack | None = None) -> dict[str, UpgradeStep]:
    federation = SmallFederation(policy=policy) if policy else SmallFederation()
    federation.play(1)
    federation.open(2)
    return {s.name: s for s in upgrade_steps(federation.reader(), federation.opens(2))}


def test_a_freeze_that_the_drop_box_has_lost_is_no_federation_without_rounds() -> None:
    federation = SmallFederation()
    federation.play(1)
    federation.store.forget(Keys.freeze(1))  # type: ignore[attr-defined]
    steps = {s.name: s for s in upgrade_steps(federation.reader(), federation.opens(2))}
    assert "has lost rounds/00000001/freeze" in steps["formula"].said
    assert "Restore the bucket" in steps["formula"].before


@pytest.mark.parametrize("name", INDEX)
def test_what_is_said_of_an_earlier_drop_box_comes_true(name: str, tmp_path: Path) -> None:
    about = INDEX[name]
    store: MemoryStore = MAKE["left"](name, next(iter(MAKE["stages"](about))), about, tmp_path)
    before = {info.key for info in store.list("")}
    steps = steps_of(name, store)
    assert {info.key for info in store.list("")} == before
    assert MAKE["finished"](store, about, tmp_path).counted
    reader, pending = reader_of(name, store), INDEX[name]["pending"]
    freeze = reader.freeze(pending)
    assert freeze is not None
    if "round under way" not in steps:
        same = "stays" in steps["formula"].said
        said = f"stays {FORMULA}:" if same else f"{FORMULA} from the next freeze on"
        assert said in steps["formula"].said
        assert freeze.value.formula == FORMULA
    for kind in ("plan", "freeze", "result", "state"):
        stored = getattr(reader, kind)(pending)
        most = max(map(int, re.findall(r"\d+", steps[f"format of a {kind}"].said.split(";")[0])))
        written = leading_int(stored.signed.body)
        assert written is not None
        assert written <= most, kind
        if not steps[f"format of a {kind}"].changes:
            assert written == most, kind


def test_a_round_that_is_frozen_is_to_end_first() -> None:
    steps = steps_of("plain", MAKE["unzipped"](BOXES / "plain.zip"))
    assert "round 4 is frozen under formula" in steps["round under way"].said
    assert steps["round under way"].before
    assert "round under way" not in steps_of("baskets", MAKE["unzipped"](BOXES / "baskets.zip"))


def test_todays_drop_box_needs_nothing() -> None:
    steps = today(PolicyPack(lags=(1,)))
    assert {s.name for s in steps.values() if s.changes or s.before} == set()
    assert steps["formula"].said.startswith(f"stays {FORMULA}")


def test_what_a_later_field_replaced_is_named() -> None:
    federation = SmallFederation(policy=PolicyPack(max_lag=2))
    federation.play(1)
    said = [s.said for s in upgrade_steps(federation.reader(), federation.opens(1))]
    assert any("max_lag and no lags" in text for text in said)
    assert any("no floors (R-125)" in text for text in said)


def test_an_older_version_is_told_that_it_is_older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrading, "FORMULA", FORMULA - 1)
    step = today()["formula"]
    assert step.changes
    assert "older than the federation's" in step.before


def test_a_newer_format_ends_the_reading_and_names_both_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    federation = SmallFederation()
    federation.play(1)
    reader = federation.reader()
    monkeypatch.setattr(payload, "newest", lambda kind: 0)
    (step,) = upgrade_steps(reader, federation.opens(1))
    assert step.name == "newer format"
    assert "this library reads up to 0" in step.said
    assert "install a newer one" in step.before


@pytest.mark.parametrize(
    ("server", "changes", "before"),
    [
        ("3.9.1", False, ""),
        ("3.8.8", True, "back Prefect's database up"),
        (
            AccessDenied(
                "refuses", subject="http://ours/api", remedy="Set PREFECT_API_AUTH_STRING"
            ),
            False,
            "Set P",
        ),
    ],
)
def test_what_becomes_of_prefect(server: Any, changes: bool, before: str) -> None:
    step = prefect_step("3.9.1", server)
    assert step.changes is changes
    assert before in step.before
    assert bool(step.before) is bool(before)
    assert isinstance(server, str) or "http://ours/api refuses" in step.said
