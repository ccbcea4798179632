"""Private nights as Prefect runs them: charged, noised, stated, and nothing of the sum in anything
that Prefect or the drop-box keeps.
"""

import itertools
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.settings import get_current_settings

from flows.federation_round import federation_round
from flows.open_round import open_round
from hyperfed.errors import PrivacyBudgetExhausted
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.registry.registry import Budget
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS

Found = Callable[..., tuple[SmallFederation, str]]
CENTRAL = {"privacy": "central", "strategy": "mean", "trust_min": 0.0, "lags": [0, 1]}
_numbers = itertools.count()


def names(name: str) -> dict[str, Any]:
    return {"drop_box": name, "coordinator_keys": name, "federation_policy": name}


def night(federation: SmallFederation, name: str, round_id: int = 1) -> dict[str, Any]:
    """Open, submit, run: the flow's outcome."""
    opened = open_round(
        now=federation.opens(round_id) + timedelta(minutes=1), return_state=True, **names(name)
    )
    assert opened.is_completed(), opened.message
    federation.submit_all(round_id=round_id)
    state = federation_round(now=federation.night(round_id), return_state=True, **names(name))
    assert state.is_completed(), state.message
    return state.result()  # type: ignore[no-any-return]


def page_of(round_id: int) -> str:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"round-{round_id:08d}"])),
            sort=ArtifactSort.CREATED_DESC,
        )
    return unescape(str(found[0].data))


def model_of(federation: SmallFederation, round_id: int = 1) -> GlobalModel:
    stored = federation.reader().result(round_id)
    assert stored is not None
    assert isinstance(stored.value, GlobalModel)
    return stored.value


def test_a_central_night_is_charged_stated_and_shown(found: Found) -> None:
    federation, name = found(**CENTRAL)
    assert night(federation, name)["outcome"] == "committed"
    (reserve,) = [
        c.entry for c in federation.reader().ledger() if c.entry.kind is EntryKind.RESERVE
    ]
    assert [(m.kind, m.place, m.epsilon) for m in reserve.mechanisms] == [
        ("gaussian", "central", Decimal("1.0926"))
    ]
    said = model_of(federation).privacy
    assert said is not None
    assert said.epsilon == Decimal("1.0926")
    page = page_of(1)
    for words in (
        "Differentially private for one client",
        "more nights like this one",
        "Not covered",
        "Privacy budget left, round by round",
    ):
        assert words in page


def test_a_local_night_charges_the_clients(found: Found) -> None:
    federation, name = found(**(CENTRAL | {"privacy": "local"}))
    night(federation, name)
    for client in federation.clients:
        assert [
            m.place
            for m in federation.memories[client].privacy_guard(Budget()).accountant.mechanisms
        ] == ["local"]
    assert "each client to its own message" in page_of(1)


def test_the_flow_that_opens_refuses_a_night_beyond_the_budget(found: Found) -> None:
    federation, name = found(
        budget=Budget(epsilon=Decimal("1"), delta=Decimal("0.00001")), **CENTRAL
    )
    before = federation.objects()
    state = open_round(
        now=federation.opens(1) + timedelta(minutes=1), return_state=True, **names(name)
    )
    assert state.is_failed()
    with pytest.raises(PrivacyBudgetExhausted):
        state.result()
    assert {
        key: data for key, data in federation.objects().items() if not key.startswith("probe/")
    } == before


def spellings(values: np.ndarray) -> set[str]:
    """How numbers would be found in a text once all but digits is blanks (`digits`): a fraction by
    its first seven digits, integers by three in a row, as an array is printed, because one alone
    could be a port or a part of an id.
    """
    out = set()
    for value in values[np.abs(values) > 1e-3].tolist():
        if len(fraction := f"{abs(value):.12f}".rstrip("0")[:9]) == 9:
            out.add(fraction)
    rows = values.tolist()
    for three in zip(rows, rows[1:], rows[2:], strict=False):
        if max(map(abs, three)) > 1000 and all(float(value).is_integer() for value in three):
            out.add(" " + " ".join(str(abs(int(value))) for value in three) + " ")
    return out


def digits(text: str) -> str:
    return re.sub(r"[^0-9.]+", " ", text)


def kept_by_prefect() -> str:
    """Every log, artifact, state and result that Prefect's server and its local storage hold."""
    parts: list[str] = []
    with get_client(sync_client=True) as client:
        offset = 0
        while logs := client.read_logs(limit=200, offset=offset):
            parts += [log.message for log in logs]
            offset += len(logs)
        parts += [str(artifact.data) for artifact in client.read_artifacts(limit=200)]
        parts += [run.model_dump_json() for run in client.read_flow_runs(limit=200)]
        parts += [run.model_dump_json() for run in client.read_task_runs(limit=200)]
    storage = Path(get_current_settings().results.local_storage_path)
    parts += (
        [file.read_text(errors="replace") for file in storage.rglob("*") if file.is_file()]
        if storage.is_dir()
        else []
    )
    return "\n".join(parts)


@pytest.mark.parametrize("baskets", [0, 2])
def test_nothing_of_the_sum_is_in_logs_results_or_artifacts(
    found: Found, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, baskets: int
) -> None:
    """The values before their noise are caught where they exist, and looked for everywhere else."""
    from hyperfed.privacy import release

    federation, name = found(**CENTRAL, basket_minimum=baskets)
    honest, grids = release.to_grid, []

    def caught(values: np.ndarray, *, clip_norm: float, bound: int) -> np.ndarray:
        grid = honest(values, clip_norm=clip_norm, bound=bound)
        grids.append((grid, bound))
        return grid

    monkeypatch.setattr(release, "to_grid", caught)
    with caplog.at_level(logging.DEBUG):
        night(federation, name)
    assert len(grids) == 3  # each client once: nothing is summed a second time for state or report
    total, bound = sum(grid for grid, _ in grids), grids[0][1]
    secret = (
        spellings(total)
        | spellings(total / bound)
        | spellings(total / bound / 3)
        | {s for grid, _ in grids for s in spellings(grid / bound)}
    )
    assert len(secret) >= 15
    kept = kept_by_prefect()
    assert "committed" in kept  # the search looks at the right place
    assert any(s in digits(str(total)) for s in secret)  # an array that got out would be seen
    searched = digits(kept + caplog.text)
    assert not {s for s in secret if s in searched}
    published = spellings(model_of(federation).edges.effect)
    assert not published & secret


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as running:
        yield running


def on_seaweedfs(
    server: SeaweedFS, folder: Path, policy: dict[str, Any], **about: Any
) -> tuple[SmallFederation, str]:
    """A federation in a prefix of its own, and the blocks' name. policy: what differs from CENTRAL;
    about: of SmallFederation.
    """
    from blocks import CoordinatorKeys, DropBox, FederationPolicy

    name = f"private-{next(_numbers)}"
    known = server.credentials()
    federation = SmallFederation(store=server.store("private", prefix=name), **about)
    (folder / "access.toml").write_text(
        f'access_key = "{known.access_key}"\nsecret_key = "{known.secret_key}"\n'
    )
    (folder / "access.toml").chmod(0o600)
    federation.coordinator.save(folder / "coordinator.key")
    box = DropBox(
        url=f"s3://private/{name}",
        endpoint=server.endpoint_url,
        access_key_file=str(folder / "access.toml"),
        fingerprint=federation.fingerprint,
    )
    box.save(name)
    CoordinatorKeys(key_file=str(folder / "coordinator.key")).save(name)
    FederationPolicy(
        variables=list(federation.vocabulary.names),
        domains=[v.domain for v in federation.vocabulary.variables],
        aggregation_delay_s=0.0,
        poll_s=0.01,
        policy=CENTRAL | policy,
    ).save(name)
    return federation, name


def check_with_everything(federation: SmallFederation) -> None:
    from hyperfed.operations.audit import audit

    assert audit(federation.store, federation.fingerprint, federation.coordinator).findings == ()


@pytest.mark.seaweedfs
@pytest.mark.usefixtures("prefect_harness")
@pytest.mark.parametrize("privacy", ["central", "local"])
def test_a_private_night_on_a_real_object_store(
    server: SeaweedFS, tmp_path: Path, privacy: str
) -> None:
    federation, name = on_seaweedfs(server, tmp_path, {"privacy": privacy}, clients=5)
    outcome = night(federation, name)
    assert (outcome["outcome"], outcome["counted"]) == ("committed", 5)
    said = model_of(federation).privacy
    assert said is not None
    assert (said.place, said.clients, said.epsilon) == (privacy, 5, Decimal("1.0926"))
    check_with_everything(federation)


@pytest.mark.seaweedfs
@pytest.mark.usefixtures("prefect_harness")
def test_a_night_of_selected_edges_on_a_real_object_store(
    server: SeaweedFS, tmp_path: Path
) -> None:
    """Twelve clients name the same edges, one of them another: what only one names is not chosen,
    and the page says what the choice costs.
    """
    policy = {
        "discovery": "selected",
        "edges_per_client": 4,
        "privacy_epsilon": "20",
        "clip_norm": 2.0,
    }
    federation, name = on_seaweedfs(
        server, tmp_path, policy, clients=12, budget=Budget(epsilon=Decimal(60))
    )
    assert open_round(
        now=federation.opens(1) + timedelta(minutes=1), return_state=True, **names(name)
    ).is_completed()
    alone = federation.update("site-01")
    assert alone.edges is not None
    rare = EdgeTable.build(
        source=[3],
        target=[0],
        lag=[0],
        effect=[0.95],
        confidence=[1.0],
        stability=[1.0],
        hits=[1],
        n=[9],
    )
    federation.submit("site-01", replace(alone, edges=rare))
    federation.submit_all(but=["site-01"])
    state = federation_round(now=federation.night(1), return_state=True, **names(name))
    assert state.is_completed(), state.message
    (reserve,) = [
        c.entry for c in federation.reader().ledger() if c.entry.kind is EntryKind.RESERVE
    ]
    assert [(m.kind, m.selection_delta) for m in reserve.mechanisms] == [
        ("gaussian", Decimal("0.000005")),
        ("gaussian", 0),
    ]
    model = model_of(federation)
    assert model.privacy is not None
    assert (model.privacy.discovery, model.privacy.slots, model.privacy.clients) == (
        "selected",
        3,
        12,
    )
    assert 4 < model.privacy.threshold < 9
    assert set(model.edges.keys.tolist()) <= set(alone.edges.keys.tolist())
    assert "the 3 edges that enough clients name" in page_of(1)
    check_with_everything(federation)


@pytest.mark.seaweedfs
@pytest.mark.usefixtures("prefect_harness")
def test_a_night_of_private_baskets_on_a_real_object_store(
    server: SeaweedFS, tmp_path: Path
) -> None:
    federation, name = on_seaweedfs(server, tmp_path, {"basket_minimum": 3}, clients=7)
    baskets = ["banks"] * 3 + ["plants"] * 4
    federation.amend(
        clients=tuple(
            replace(c, basket=basket)
            for c, basket in zip(federation.registry.clients, baskets, strict=True)
        )
    )
    assert night(federation, name)["outcome"] == "committed"
    (reserve,) = [
        c.entry for c in federation.reader().ledger() if c.entry.kind is EntryKind.RESERVE
    ]
    assert [m.epsilon for m in reserve.mechanisms] == [Decimal("1.0926")]
    model = model_of(federation)
    assert [(b.name, b.clients) for b in model.baskets] == [("banks", 3), ("plants", 4)]
    assert "2 baskets and noised one by one" in page_of(1)
    check_with_everything(federation)
