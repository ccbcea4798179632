"""The flows as Prefect runs them: a good night, reruns, stragglers, refusals, empty and void
nights.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.sorting import ArtifactSort, LogSort
from prefect.logging.handlers import APILogHandler
from prefect.states import State

from flows.federation_round import federation_round
from flows.open_round import open_round
from hyperfed.coordinator.runner import Arrivals, RoundRunner
from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    QuorumMissed,
    QuorumPending,
    RegistryError,
    StoreUnsuitable,
)
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]


def names(name: str) -> dict[str, Any]:
    return {"drop_box": name, "coordinator_keys": name, "federation_policy": name}


def opened(federation: SmallFederation, name: str, round_id: int = 1) -> None:
    state = open_round(
        now=federation.opens(round_id) + timedelta(minutes=1), return_state=True, **names(name)
    )
    assert state.is_completed(), state.message


def night(federation: SmallFederation, name: str, round_id: int = 1, **options: Any) -> State[Any]:
    """The flow's final state; the clock says: the window has just ended."""
    return federation_round(
        **({"now": federation.night(round_id)} | options), return_state=True, **names(name)
    )


def artifacts(federation: SmallFederation, round_id: int) -> list[Any]:
    """The versions of a round's page, oldest first, of this test's federation only: they all are
    called small-fed.
    """
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"round-{round_id:08d}"])),
            sort=ArtifactSort.CREATED_DESC,
        )
    return list(reversed(found))[-1:]


def test_a_good_night_commits_and_its_page_says_who_was_counted(found: Found) -> None:
    federation, name = found()
    opened(federation, name)
    federation.submit_all()
    state = night(federation, name)
    assert state.is_completed()
    assert state.name == "Completed"
    summary = state.result()
    assert (summary["outcome"], summary["counted"], summary["cohort"]) == ("committed", 3, 3)
    assert "3 of 3" in (state.message or "")
    assert federation.receipt("site-01").fate is Fate.COUNTED  # type: ignore[union-attr]
    model = federation.session("site-01").pull(now=federation.night(1))
    assert model is not None
    assert len(model.value.edges) == 3
    page = artifacts(federation, 1)
    assert len(page) == 1
    for text in ("site-01", "heat", "wear"):
        assert text in unescape(page[0].data)
    assert "data:image/svg+xml;base64," in page[0].data
    with get_client(sync_client=True) as client:
        runs = [r.name for r in client.read_flow_runs()]
    assert "round 1, 2026-01-01, 3 of 3" in runs


def test_a_rerun_of_a_committed_round_adds_nothing(found: Found) -> None:
    federation, name = found()
    opened(federation, name)
    federation.submit_all()
    night(federation, name)
    before = federation.objects()
    again = night(federation, name, now=federation.night(1) + timedelta(hours=3))
    assert again.is_completed()
    assert federation.objects() == before


def test_below_quorum_the_run_fails_naming_the_missing_and_a_rerun_completes_the_round(
    found: Found,
) -> None:
    federation, name = found()
    opened(federation, name)
    federation.submit("site-02")
    state = night(federation, name)
    assert state.is_failed()
    with pytest.raises(QuorumMissed, match="site-01, site-03"):
        state.result()
    assert federation.decided() == {}
    federation.submit("site-03")
    assert night(federation, name).is_completed()
    assert federation.reader().freeze(1).value.counted[0].client == "site-02"  # type: ignore[union-attr]


def test_collect_awaits_stragglers_by_its_retries(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, name = found(aggregation_delay_s=3.0, poll_s=0.1)
    opened(federation, name)
    federation.submit("site-01")
    federation.submit("site-02")
    honest, looks = RoundRunner.collect, []

    def collect(self: RoundRunner, round_id: int) -> Arrivals:
        looks.append(round_id)
        if len(looks) == 3:
            federation.submit("site-03")
        return honest(self, round_id)

    monkeypatch.setattr(RoundRunner, "collect", collect)
    state = night(federation, name)
    assert state.is_completed()
    assert len(looks) == 3  # everyone there: on at once, the rest of the delay is not waited out
    assert state.result()["counted"] == 3


def test_runs_before_the_first_window_are_skipped(found: Found) -> None:
    """An interval of Prefect's has instants before its anchor too: a federation that begins next
    week fails nobody until then.
    """
    federation, name = found()
    early = federation.opens(1) - timedelta(days=3)
    for flow in (open_round, federation_round):
        state = flow(now=early, return_state=True, **names(name))
        assert (state.name, state.is_completed()) == ("Skipped", True)
        assert "round 1 opens at 2026-01-01 00:00 UTC" in (state.message or "")
    assert federation.decided() == {}


def logged(state: Any) -> list[tuple[int, str]]:
    """(level, line) of what the server keeps of a run's log, in order."""
    with get_client(sync_client=True) as client:
        run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[state.state_details.flow_run_id]))
        return [
            (log.level, log.message)
            for log in client.read_logs(log_filter=run, limit=200, sort=LogSort.TIMESTAMP_ASC)
        ]


def test_waiting_is_logged_as_waiting_and_a_missed_quorum_as_a_failure(
    found: Found, caplog: pytest.LogCaptureFixture
) -> None:
    federation, name = found(quorum=2, aggregation_delay_s=0.3, poll_s=0.1)
    opened(federation, name)
    federation.submit("site-02")
    with caplog.at_level(logging.INFO):
        state = night(federation, name)
    assert state.is_failed()
    APILogHandler().flush()
    kept = logged(state)
    line = (
        "round 1: waiting for 2 of 3 clients (quorum 2): site-01, site-03; looking again in 0.1 s"
    )
    assert kept.count((logging.INFO, line)) == 3, kept
    failures = [text for level, text in kept if level >= logging.ERROR]
    assert not [text for text in failures if "QuorumPending" in text]
    assert [text for text in failures if "QuorumMissed" in text], "what did fail is still said"
    assert not [text for _, text in kept if "QuorumPending" in text]
    assert not [
        r for r in caplog.records if r.exc_info and isinstance(r.exc_info[1], QuorumPending)
    ]


def test_with_quorum_there_the_round_goes_on_when_the_delay_is_used_up(found: Found) -> None:
    federation, name = found(aggregation_delay_s=0.3, poll_s=0.1)
    opened(federation, name)
    federation.submit("site-01")
    federation.submit("site-02")
    state = night(federation, name)
    assert state.is_completed()
    summary = state.result()
    assert (summary["counted"], summary["missing"]) == (2, ["site-03"])


def test_the_night_goes_on_without_a_client_that_sends_rubbish(found: Found) -> None:
    federation, name = found()
    opened(federation, name)
    federation.submit("site-01")
    federation.submit("site-02")
    federation.put(b"this is no update", "site-03")
    state = night(federation, name)
    assert state.is_completed()
    assert state.result()["counted"] == 2
    receipt = federation.receipt("site-03")
    assert receipt is not None
    assert receipt.fate is Fate.REFUSED
    assert receipt.reason
    assert receipt.remedy
    page = unescape(artifacts(federation, 1)[-1].data)
    assert "inbox/00000001/site-03/0" in page
    assert receipt.reason in page


def test_an_empty_night_fails_and_moves_nothing(found: Found) -> None:
    federation, name = found()
    opened(federation, name)
    state = night(federation, name)
    assert state.is_failed()
    with pytest.raises(QuorumMissed, match="0 of the 2"):
        state.result()
    assert federation.decided() == {}


def test_after_close_by_an_empty_round_is_void_and_the_budget_untouched(found: Found) -> None:
    federation, name = found()
    opened(federation, name)
    state = night(federation, name, round_id=1, now=federation.night(2))
    # Without a number the run means the newest ended round; round 1 is asked for by number.
    state = federation_round(round_id=1, now=federation.night(2), return_state=True, **names(name))
    assert state.is_completed()
    assert state.name == "Void"
    assert [c.entry.kind for c in federation.reader().ledger()][:1] == ["void"]
    assert federation.receipt("site-01").fate is Fate.VOID  # type: ignore[union-attr]


def test_a_round_is_taken_from_the_clock_and_opened_if_nobody_did(found: Found) -> None:
    federation, name = found()
    state = night(federation, name, round_id=4)
    assert state.is_failed()
    assert federation.reader().plan(4) is not None


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("file:///nowhere/at/all", ConfigError, "nowhere/at/all: there is no such folder"),
        ("ftp://example", ConfigError, "s3://bucket/prefix"),
    ],
)
def test_a_drop_box_that_is_not_there_is_said_so(
    found: Found, url: str, error: type[Exception], says: str
) -> None:
    from blocks import DropBox

    federation, name = found()
    DropBox(url=url, fingerprint=federation.fingerprint).save(name, overwrite=True)
    state = night(federation, name)
    assert state.is_failed()
    with pytest.raises(error, match=says):
        state.result()


def test_another_federations_drop_box_is_refused(found: Found) -> None:
    from blocks import DropBox

    federation, name = found()
    box = DropBox.load(name)
    box.fingerprint = "0" * 64
    box.save(name, overwrite=True)
    state = night(federation, name)
    with pytest.raises(RegistryError, match="fingerprint"):
        state.result()
    assert federation.decided() == {}


@pytest.mark.seaweedfs
def test_wrong_credentials_are_said_so(found: Found, tmp_path: Any) -> None:
    from blocks import DropBox
    from hyperfed.testing.seaweedfs import SeaweedFS

    federation, name = found()
    secret = tmp_path / "access-key.toml"
    secret.touch(mode=0o600)
    secret.write_text('access_key = "nobody"\nsecret_key = "wrong"\n')
    with SeaweedFS(tmp_path / "weed") as server:
        server.store("fed").close()
        box = DropBox(
            url="s3://fed",
            endpoint=server.endpoint_url,
            access_key_file=str(secret),
            fingerprint=federation.fingerprint,
        )
        box.save(name, overwrite=True)
        state = night(federation, name)
        assert state.is_failed()
        with pytest.raises(AccessDenied, match=r"access key|denied|credentials"):
            state.result()


def test_a_store_that_overwrites_is_refused_before_anything_is_written(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-1: at the start the store proves that it honours create-only writes."""
    federation, name = found()
    honest = FilesystemStore.put_if_absent

    def overwrite(self: FilesystemStore, key: str, data: bytes | memoryview) -> bool:
        path = self.root / key
        path.unlink(missing_ok=True)
        return honest(self, key, data)

    monkeypatch.setattr(FilesystemStore, "put_if_absent", overwrite)
    state = open_round(
        now=federation.opens(1) + timedelta(minutes=1), return_state=True, **names(name)
    )
    assert state.is_failed()
    with pytest.raises(StoreUnsuitable, match="second write"):
        state.result()
    assert federation.reader().plan(1) is None
