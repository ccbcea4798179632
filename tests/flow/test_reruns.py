"""A Retry goes on where the round failed: finished stages are remembered in the drop-box, signed,
and forgotten where they must be.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import tasks.stages
from flows.federation_round import federation_round
from flows.open_round import open_round
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.errors import ConfigError, QuorumMissed, RoundError
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]
STAGES = ("collect", "validate", "freeze", "reserve", "release", "conclude")


def names(name: str) -> dict[str, Any]:
    return {"drop_box": name, "coordinator_keys": name, "federation_policy": name}


def night(federation: SmallFederation, name: str, **options: Any) -> Any:
    return federation_round(
        **({"now": federation.night(1)} | options), return_state=True, **names(name)
    )


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each stage has really run."""
    count: Counter[str] = Counter()
    for stage in STAGES:
        monkeypatch.setattr(RoundRunner, stage, counting(stage, getattr(RoundRunner, stage), count))
    return count


def counting(stage: str, honest: Any, count: Counter[str]) -> Any:
    def counted(self: RoundRunner, *args: Any) -> Any:
        count[stage] += 1
        return honest(self, *args)

    return counted


@pytest.fixture
def ready(found: Found) -> tuple[SmallFederation, str]:
    federation, name = found()
    open_round(now=federation.opens(1) + timedelta(minutes=1), **names(name))
    return federation, name


def failing_once(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """The stage fails the next time it runs, after the decorators above it."""
    honest, left = getattr(RoundRunner, stage), [1]

    def fail(self: RoundRunner, *args: Any) -> Any:
        if left and left.pop():
            raise RoundError("made to fail", subject=stage)
        return honest(self, *args)

    monkeypatch.setattr(RoundRunner, stage, fail)


def test_finished_stages_are_not_run_again_and_the_result_is_the_undisturbed_one(
    ready: tuple[SmallFederation, str], ran: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, name = ready
    federation.submit_all()
    twin = SmallFederation(clients=3)
    for key, data in federation.objects().items():
        twin.store.put_if_absent(key, data) if not key.startswith(
            ("registry/", "prefect/")
        ) else None
    twin_stage = twin.run(1)
    ran.clear()

    failing_once(monkeypatch, "reserve")
    assert night(federation, name).is_failed()
    assert ran == {"collect": 1, "validate": 1, "freeze": 1}
    before = federation.objects("prefect/stages/rounds/00000001/")
    assert len(before) == 3
    again = night(federation, name, now=federation.night(1) + timedelta(hours=2))
    assert again.is_completed(), again.message
    assert ran == {
        "collect": 1,
        "validate": 1,
        "freeze": 1,
        "reserve": 1,
        "release": 1,
        "conclude": 1,
    }
    assert federation.reader().result(1).digest == twin_stage.result  # type: ignore[union-attr]
    assert before.items() <= federation.objects("prefect/stages/rounds/00000001/").items()


def test_a_retry_after_a_fix_runs_the_new_code(
    ready: tuple[SmallFederation, str], ran: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, name = ready
    federation.submit_all()
    failing_once(monkeypatch, "reserve")
    assert night(federation, name).is_failed()
    monkeypatch.setattr(tasks.stages, "code_digest", lambda: "0" * 32)
    assert night(federation, name).is_completed()
    assert (ran["collect"], ran["validate"], ran["freeze"]) == (2, 2, 2)


def test_below_quorum_what_came_since_is_seen_and_what_was_read_is_not_read_again(
    ready: tuple[SmallFederation, str], ran: Counter[str]
) -> None:
    federation, name = ready
    federation.submit("site-01")
    federation.put(b"rubbish", "site-02")
    with pytest.raises(QuorumMissed):
        night(federation, name).result()
    with pytest.raises(QuorumMissed):
        night(federation, name).result()
    assert (ran["collect"], ran["validate"], ran["freeze"]) == (1, 1, 2)
    federation.submit("site-02")
    assert night(federation, name).is_completed()
    assert ran["collect"] == 2


def test_a_stage_result_that_somebody_forged_is_a_miss(
    ready: tuple[SmallFederation, str], ran: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, name = ready
    federation.submit_all()
    failing_once(monkeypatch, "freeze")
    assert night(federation, name).is_failed()
    folder = federation.store.root  # type: ignore[attr-defined]
    for file in (folder / "prefect" / "stages").rglob("*"):
        if file.is_file():
            file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    assert night(federation, name).is_completed()
    assert (ran["collect"], ran["validate"]) == (2, 2)


def test_a_rerun_of_a_finished_round_says_so_and_changes_nothing(
    ready: tuple[SmallFederation, str], ran: Counter[str]
) -> None:
    federation, name = ready
    federation.submit_all()
    assert night(federation, name).is_completed()
    before = federation.objects()
    ran.clear()
    again = night(federation, name, now=federation.night(1) + timedelta(hours=3))
    assert again.message.startswith("already committed, digests verified")
    assert again.result()["counted"] == 3
    assert ran == {"conclude": 1}
    assert federation.objects() == before


def test_a_result_that_was_exchanged_is_noticed_by_a_rerun(
    ready: tuple[SmallFederation, str],
) -> None:
    federation, name = ready
    federation.submit_all()
    assert night(federation, name).is_completed()
    folder = federation.store.root  # type: ignore[attr-defined]
    (folder / "rounds/00000001/result").write_bytes((folder / "rounds/00000001/plan").read_bytes())
    assert night(federation, name).is_failed()


def test_a_dry_run_says_who_would_count_and_writes_nothing(found: Found) -> None:
    federation, name = found()
    before = federation.objects()
    with pytest.raises(QuorumMissed):
        night(federation, name, dry_run=True).result()
    assert federation.objects() == before
    open_round(now=federation.opens(1), **names(name))
    federation.submit("site-01")
    federation.submit("site-03")
    before = federation.objects()
    state = night(federation, name, dry_run=True)
    assert "2 of 3 would be counted" in state.message
    assert federation.objects() == before


def test_a_policy_override_holds_for_a_round_that_is_not_open_and_is_refused_against_a_signed_plan(
    found: Found,
) -> None:
    federation, name = found()
    open_round(now=federation.opens(1), policy_overrides={"vote_min": 0.2}, **names(name))
    assert federation.plan(1).policy.vote_min == 0.2
    federation.submit_all()
    with pytest.raises(ConfigError, match=r"vote_min is 0\.2 in the signed plan, not 0\.5"):
        night(federation, name, policy_overrides={"vote_min": 0.5}).result()
    with pytest.raises(ConfigError, match="no field of the policy pack"):
        night(federation, name, policy_overrides={"epsilon": 5}).result()
    assert federation.decided() == {}
    assert night(federation, name, policy_overrides={"vote_min": 0.2}).is_completed()


def test_before_the_first_window_has_ended_there_is_nothing_to_run(found: Found) -> None:
    federation, name = found()
    before = federation.objects()
    state = night(federation, name, now=federation.opens(1) + timedelta(hours=1))
    assert (state.name, state.is_completed()) == ("Skipped", True)
    assert federation.objects() == before


def test_a_window_that_is_still_open_is_not_run_and_not_even_by_its_number(
    ready: tuple[SmallFederation, str],
) -> None:
    federation, name = ready
    federation.submit_all()
    before = federation.objects()
    with pytest.raises(RoundError, match="its window is open until 2026-01-02 00:00"):
        night(federation, name, round_id=1, now=federation.opens(1) + timedelta(hours=23)).result()
    assert federation.objects() == before
