"""A client's `hyperfed submit` and a coordinator's `hyperfed round run` that are killed at seeded
points of a secure round against a real server, and come again as other processes (R-164, R-165).

What was shown stays, one message and one manifest come of it, the night ends with the same model,
and its audit finds nothing. Each has its disk (memory, kept message, ledger copy) as it was left.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.s3 import S3Store
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.own_process import Ended, OwnProcesses
from tests.secure_night import (
    SecureNight,
    before_freeze,
    before_result,
    before_submit,
    finish,
    later,
    series_csv,
    shape,
)

pytestmark = [pytest.mark.slow, pytest.mark.seaweedfs]
POINTS = 5
"""At how many points each process is killed; each point takes about a second."""


@dataclass
class Machine:
    """The machine of one process: its own folder, at a drop-box under a prefix of its own."""

    night: SecureNight
    server: SeaweedFS
    processes: OwnProcesses
    folder: Path
    store: S3Store

    def objects(self) -> dict[str, bytes]:
        limit = self.night.federation.limits.max_object_bytes
        found = (info.key for info in self.store.list(""))
        return {key: self.store.read(key, max_bytes=limit) for key in found}

    def run(self, *words: str, now: datetime, kill_at: int = 0) -> Ended:
        config = str(self.folder / "hyperfed.toml")
        return self.processes.run(
            ["--config", config, *words], now=now, state=self.folder / "state", kill_at=kill_at
        )

    def audited(self, objects: dict[str, bytes]) -> SecureNight:
        """Return the night at a copy of the drop-box, which an audit has found whole."""
        twin = self.night.at_another(objects)
        check(twin)
        return twin


def check(night: SecureNight) -> None:
    fed = night.federation
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=later(night))
    assert report.ok, report.findings


NewMachine = Callable[[SecureNight], Machine]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewMachine]:
    """A function that sets up a machine at a new prefix, with what lies in a night's drop-box."""
    made: list[Machine] = []
    tmp_path = tmp_path_factory.mktemp("machines")
    with SeaweedFS() as server, OwnProcesses(tmp_path) as processes:

        def make(night: SecureNight) -> Machine:
            fed, prefix = night.federation, f"n{len(made):03d}"
            store = server.store("crash", prefix=prefix, create=not made)
            for _, answer in store.put_many(fed.objects().items()):
                assert answer is True
            folder = tmp_path / prefix
            folder.mkdir()
            fed.keys["ward-1"].save(folder / "ward-1.key")
            fed.coordinator.save(folder / "coordinator.key")
            (folder / "series.csv").write_text(series_csv(0))
            known, access = server.credentials(), folder / "access.toml"
            access.touch(mode=0o600)
            access.write_text(
                f'access_key = "{known.access_key}"\nsecret_key = "{known.secret_key}"\n'
            )
            (folder / "hyperfed.toml").write_text(
                f'[store]\nurl = "s3://crash/{prefix}"\nendpoint = "{server.endpoint_url}"\n'
                'access_key_file = "access.toml"\n'
                f'[federation]\nfingerprint = "{fed.fingerprint}"\n'
                '[client]\nid = "ward-1"\nkey = "ward-1.key"\n'
                '[coordinator]\nkey = "coordinator.key"\n'
            )
            made.append(
                Machine(night, server=server, processes=processes, folder=folder, store=store)
            )
            return made[-1]

        yield make
        for one in made:
            one.store.close()


def seeded(points: int, seed: int) -> list[int]:
    """Points at which to die, among all that the undisturbed process came to."""
    assert points > 20
    return sorted(random.Random(seed).sample(range(1, points), POINTS))


def model_of(night: SecureNight) -> GlobalModel:
    stored = night.federation.reader().result(1)
    assert stored is not None
    assert isinstance(stored.value, GlobalModel)
    return stored.value


def found_by(night: SecureNight) -> tuple[object, ...]:
    """What a model says, without who sent which message when."""
    model = model_of(night)
    columns = (model.edges.source, model.edges.target, model.edges.effect, model.edges.n)
    return (*(column.tolist() for column in columns), model.opened_by)


def test_a_client_that_is_killed_sends_one_message_that_counts(machine: NewMachine) -> None:
    start = before_submit()
    at = start.federation.opens(1) + timedelta(hours=1)

    def submit(here: Machine, kill_at: int = 0) -> Ended:
        data = str(here.folder / "series.csv")
        return here.run("submit", "--data", data, "--series", now=at, kill_at=kill_at)

    calm = machine(start)
    done = submit(calm)
    assert done.code == 0, done.output
    expected = shape(calm.objects())
    night = calm.audited(calm.objects())
    finish(night)
    model = found_by(night)
    for point in seeded(done.points, seed=1):
        here = machine(start)
        assert submit(here, kill_at=point).killed
        shown = here.objects()
        again = submit(here)
        assert again.code == 0, again.output
        objects = here.objects()
        assert shape(objects) == expected, f"after SIGKILL at point {point}"
        assert all(objects[key] == data for key, data in shown.items()), "something changed"
        night = here.audited(objects)
        finish(night)
        assert found_by(night) == model, f"after SIGKILL at point {point}"
        check(night)


@pytest.mark.parametrize("phase", ["freeze", "release"])
def test_a_coordinator_that_is_killed_names_one_manifest_and_one_result(
    phase: str, machine: NewMachine
) -> None:
    start = before_freeze() if phase == "freeze" else before_result()
    code = 4 if phase == "freeze" else 0  # helpers are awaited then

    def run(here: Machine, kill_at: int = 0) -> Ended:
        words = ("round", "run", "1", "--keys", str(here.folder / "coordinator.key"), "--now")
        clock = later(start).strftime("%Y-%m-%dT%H:%M:%S%z")
        return here.run(*words, clock, now=later(start), kill_at=kill_at)

    calm = machine(start)
    done = run(calm)
    assert done.code == code, done.output
    expected = shape(calm.objects())
    assert (Keys.manifest(1) in expected, Keys.result(1) in expected) == (True, code == 0)
    for point in seeded(done.points, seed=2):
        here = machine(start)
        assert run(here, kill_at=point).killed
        shown = here.objects()
        again = run(here)
        assert again.code == code, again.output
        objects = here.objects()
        assert shape(objects) == expected, f"after SIGKILL at point {point}"
        assert all(objects[key] == data for key, data in shown.items()), "something changed"
        night = here.audited(objects)
        if phase == "freeze":
            finish(night)
            check(night)
        assert model_of(night).opened_by == start.helpers
