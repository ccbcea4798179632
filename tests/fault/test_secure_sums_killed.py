"""The client's, the helper's and the coordinator's commands are killed in a secure round against a
real server, and come again as other processes (R-164, R-165, R-173, R-191). Rounds are exact, or
have noise in shares or central noise.

They are killed after each change of their disks and each write to the store, and at seeded points
of the rest. What was shown stays, and no second draw is ever offered to the store: one message, one
answer, one manifest, one seed of noise, one charge and one result come of it. The night ends with
the same model, and its audit finds nothing. Each has its disk (memory, guard, kept message, marks)
as it was left. With central noise a coordinator that was killed gets noise for no second sum,
whatever the bucket shows it then (R-110, R-209).
"""

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hyperfed.client import ClientMemory
from hyperfed.client.helper_memory import HelperMemory
from hyperfed.client.masked import masked_operation
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.openings import OpeningReader, signed_part
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.privacy.moments import plan_moments
from hyperfed.protocol.object_keys import Keys, parse_key
from hyperfed.storage.s3 import S3Store
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.central_night import CentralNight
from tests.fault.test_secure_sums_crash import NIGHTS as KINDS
from tests.fault.test_secure_sums_crash import SHOWN_ONCE, drawn_by, told
from tests.noised_night import NoisedNight
from tests.own_process import DISK, STORE, WRITE, Ended, OwnProcesses
from tests.secure_night import (
    HELPERS,
    NewNight,
    SecureNight,
    before_answer,
    before_confirmation,
    before_freeze,
    before_result,
    before_submit,
    finish,
    later,
    openings,
    replaced,
    series_csv,
    shape,
)

pytestmark = [pytest.mark.slow, pytest.mark.seaweedfs]
OTHERS = 4
"""At how many points each process is killed that follow neither its disk nor a write."""
NIGHTS = pytest.mark.parametrize("new", [SecureNight, NoisedNight], ids=["exact", "noised"])
ALL_NIGHTS = pytest.mark.parametrize("new", KINDS.values(), ids=list(KINDS))


@dataclass
class Machine:
    """The machine of one process: its own folder, at a drop-box under a prefix of its own."""

    night: SecureNight
    server: SeaweedFS
    processes: OwnProcesses
    folder: Path
    store: S3Store
    disk: Path | None
    """The folder that its helper's disk was copied from, if it has one."""

    def objects(self) -> dict[str, bytes]:
        limit = self.night.federation.limits.max_object_bytes
        found = (info.key for info in self.store.list(""))
        return {key: self.store.read(key, max_bytes=limit) for key in found}

    def run(self, who: str, *words: str, now: datetime, kill_at: int = 0) -> Ended:
        config = str(self.folder / f"{who}.toml")
        return self.processes.run(
            ["--config", config, *words], now=now, state=self.folder / "state", kill_at=kill_at
        )

    def submits(self, kill_at: int = 0) -> Ended:
        now = self.night.federation.opens(1) + timedelta(hours=1)
        data = str(self.folder / "series.csv")
        return self.run("ward-1", "submit", "--data", data, "--series", now=now, kill_at=kill_at)

    def helps(self, now: datetime, kill_at: int = 0) -> Ended:
        """A helper's visit; what is not killed comes a quarter of an hour later."""
        now += timedelta(minutes=0 if kill_at else 15)
        return self.run("help-1", "helper", "night", now=now, kill_at=kill_at)

    def runs_round(self, kill_at: int = 0) -> Ended:
        words = ("round", "run", "1", "--keys", str(self.folder / "coordinator.key"), "--now")
        now = later(self.night)
        clock = now.strftime("%Y-%m-%dT%H:%M:%S%z")
        return self.run("ward-1", *words, clock, now=now, kill_at=kill_at)

    def helper_disk(self) -> HelperMemory:
        return HelperMemory(self.folder / "help-1.helper")

    def audited(self, objects: dict[str, bytes]) -> SecureNight:
        """Return the night at a copy of the drop-box, which an audit has found whole."""
        twin = self.night.at_another(objects)
        check(twin)
        return twin


def check(night: SecureNight) -> None:
    fed = night.federation
    report = audit(fed.store, fed.fingerprint, fed.coordinator, now=later(night))
    assert report.ok, report.findings


NewMachine = Callable[[SecureNight, Path | None], Machine]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewMachine]:
    """A function that sets up a machine at a new prefix, with what lies in a night's drop-box."""
    made: list[Machine] = []
    tmp_path = tmp_path_factory.mktemp("machines")
    with SeaweedFS() as server, OwnProcesses(tmp_path) as processes:

        def make(night: SecureNight, disk: Path | None = None) -> Machine:
            fed, prefix = night.federation, f"n{len(made):03d}"
            store = server.store("crash", prefix=prefix, create=not made)
            for _, answer in store.put_many(fed.objects().items()):
                assert answer is True
            folder = tmp_path / prefix
            folder.mkdir()
            if disk is not None:
                shutil.copytree(disk, folder / "help-1.helper")
            fed.coordinator.save(folder / "coordinator.key")
            (folder / "series.csv").write_text(series_csv(0))
            known, access = server.credentials(), folder / "access.toml"
            access.touch(mode=0o600)
            access.write_text(
                f'access_key = "{known.access_key}"\nsecret_key = "{known.secret_key}"\n'
            )
            for who in ("ward-1", "help-1"):
                fed.keys[who].save(folder / f"{who}.key")
                (folder / f"{who}.toml").write_text(
                    f'[store]\nurl = "s3://crash/{prefix}"\nendpoint = "{server.endpoint_url}"\n'
                    'access_key_file = "access.toml"\n'
                    f'[federation]\nfingerprint = "{fed.fingerprint}"\n'
                    f'[client]\nid = "{who}"\nkey = "{who}.key"\n'
                    '[coordinator]\nkey = "coordinator.key"\n'
                )
            made.append(Machine(night, server, processes, folder, store, disk))
            return made[-1]

        yield make
        for one in made:
            one.store.close()


def chosen(points: Sequence[str]) -> list[int]:
    """Points at which to die: all after a write or a change of the disk, and some of the others."""
    numbered = list(enumerate(points, 1))
    kept = [number for number, after in numbered if after in (DISK, WRITE)]
    others = [number for number, after in numbered if after == STORE]
    assert len(others) > OTHERS
    return sorted(kept + random.Random(1).sample(others, OTHERS))


def came_again(
    start: Machine,
    act: Callable[[Machine, int], Ended],
    machine: NewMachine,
    *,
    drawn: Sequence[str] = (),
) -> Iterator[tuple[str, Machine, Ended, dict[str, bytes]]]:
    """Yield the machines of processes that were killed and came again, with what lies there then.

    What was shown stays, what lies there has the shape of an undisturbed night, and of each message
    and answer, of its noise and its result one byte string was ever offered. drawn: what kinds of
    objects each machine draws anew.
    """
    done = act(start, 0)
    expected = shape(start.objects(), drawn=drawn)
    for point in chosen(done.points):
        here, where = machine(start.night, start.disk), f"after SIGKILL at point {point}"
        killed = act(here, point)
        assert killed.killed, where
        shown = here.objects()
        again = act(here, 0)
        arrived = "R-164" in again.output and done.code == 0  # it had noted that all has arrived
        assert again.code == (1 if arrived else done.code), again.output
        objects = here.objects()
        assert shape(objects, drawn=drawn) == expected, where
        assert all(objects[key] == data for key, data in shown.items()), "something changed"
        offered = {
            (key, digest)
            for key, digest in (*killed.offered, *again.offered)
            if parse_key(key).kind in SHOWN_ONCE
        }
        assert all(hashlib.sha256(objects[key]).hexdigest() == digest for key, digest in offered)
        yield where, here, again, objects


def model_of(night: SecureNight) -> GlobalModel:
    stored = night.federation.reader().result(1)
    assert stored is not None
    assert isinstance(stored.value, GlobalModel)
    return stored.value


def found_by(night: SecureNight) -> tuple[object, ...]:
    """What a model says, without who sent which message when, and what the ledger was charged.

    Of a noised model it is what must not depend on the noise that was drawn.
    """
    model, fed = model_of(night), night.federation
    columns = (model.edges.source, model.edges.target, model.edges.effect, model.edges.n)
    charges = [c.entry.mechanisms for c in fed.reader().ledger()]
    if model.privacy is not None:
        return (charges, model.opened_by, model.privacy)
    return (charges, model.opened_by, *(column.tolist() for column in columns))


def check_charged_once(here: Machine, objects: dict[str, bytes]) -> None:
    """The client's disk has one charge (R-191), and the message that lies in the drop-box."""
    fed, memory = here.night.federation, ClientMemory(here.folder / "ward-1.memory.json")
    asked = plan_moments(fed.policy, 3).mechanisms if fed.policy.privacy == "shares" else ()
    assert memory.privacy_guard(fed.registry.budget).accountant.mechanisms == asked
    kept = memory.message.of(masked_operation(fed.plan(1)))
    assert kept is not None
    assert kept.arrived
    assert kept.data == objects[Keys.inbox(1, "ward-1", 0)]
    assert kept.boxes == objects[Keys.boxes(1, "ward-1")]
    assert [one.digest for one in memory.sent.records()] == [kept.digest]


@NIGHTS
def test_a_client_that_is_killed_sends_one_message_that_counts(
    new: NewNight, machine: NewMachine
) -> None:
    start = machine(before_submit(new), None)
    models = []
    for where, here, _, objects in came_again(start, Machine.submits, machine):
        check_charged_once(here, objects)
        night = here.audited(objects)
        finish(night)
        models.append(found_by(night))
        assert models[0] == models[-1], where
        check(night)
    calm = start.audited(start.objects())
    finish(calm)
    assert models[0] == found_by(calm)


@pytest.mark.parametrize(
    ("phase", "new"),
    [
        pytest.param(phase, new, id=f"{phase}-{name}")
        for phase in ("confirm", "answer")
        for name, new in KINDS.items()
        if (phase, name) != ("confirm", "central")  # nothing is sealed or noised before the freeze
    ],
)
def test_a_helper_that_is_killed_answers_one_manifest_with_the_same_bytes(
    phase: str, new: NewNight, machine: NewMachine, tmp_path: Path
) -> None:
    def on_disk() -> SecureNight:
        night = new()
        night.memories["help-1"] = HelperMemory(tmp_path / "disk")
        return night

    before = before_confirmation if phase == "confirm" else before_answer
    night = before(on_disk)
    now = night.federation.night(1) if phase == "confirm" else later(night)
    answers = set()
    for where, here, _, objects in came_again(
        machine(night, tmp_path / "disk"), lambda here, kill_at: here.helps(now, kill_at), machine
    ):
        key = Keys.opening(1, "help-1")
        answers.add(told(night, key, objects[key]) if key in objects else None)
        assert len(answers) == 1, where
        assert len(here.helper_disk().marks.opened) == (phase == "answer"), where
    assert (answers == {None}) == (phase == "confirm")


@ALL_NIGHTS
@pytest.mark.parametrize("phase", ["freeze", "release"])
def test_a_coordinator_that_is_killed_names_one_manifest_and_one_result(
    phase: str, new: NewNight, machine: NewMachine
) -> None:
    before = before_freeze if phase == "freeze" else before_result
    start = machine(before(new), None)
    drawn = drawn_by(before, new)
    for _, here, again, objects in came_again(start, Machine.runs_round, machine, drawn=drawn):
        assert again.code == (4 if phase == "freeze" else 0)  # helpers are awaited then
        assert (Keys.manifest(1) in objects, Keys.result(1) in objects) == (True, again.code == 0)
        night = here.audited(objects)
        if phase == "freeze":
            finish(night)
            check(night)
        reserves = [c.entry for c in night.federation.reader().ledger() if c.entry.mechanisms]
        assert len(reserves) == (night.federation.policy.privacy != "none")
        seed = night.federation.reader().noise(1)
        assert [one.noise for one in reserves if one.noise] == ([seed.digest] if seed else [])
        assert model_of(night).opened_by == start.night.helpers


def shifted(night: SecureNight) -> SecureNight:
    """Return the night with another sum: the two helpers that hold a seed have agreed on it."""
    fed, twin = night.federation, night.at_another(night.federation.objects())
    parts = OpeningReader(fed.reader(), openings(night).plan, fed.coordinator)
    lacking = HELPERS[1:3]
    for helper in parts.group.holders(lacking):
        key, sets = Keys.opening(1, helper), parts.group.held_by(helper)
        part = parts.part_at(key)
        assert part is not None
        sums = part.value.sums.copy().reshape(len(sets), -1)
        sums[sets.index(lacking), 1] += np.uint64(1 << 10)
        data = signed_part(
            replace(part.value, sums=sums.ravel()),
            PacketType.OPENING,
            sender=helper,
            key_pair=fed.keys[helper],
            now=fed.night(1),
            recipients=parts.recipients(),
        )
        replaced(twin, key, data)
    return twin


@pytest.mark.parametrize("sum_changes", [True, False], ids=["another sum", "the same sum"])
def test_a_killed_coordinator_draws_noise_for_one_sum_whatever_the_bucket_shows_then(
    sum_changes: bool, machine: NewMachine
) -> None:
    """The bucket hides what the killed process wrote, and helpers have changed their answers
    together: noise for both sums would show their difference. The twin's answers are the same.
    """
    start = machine(before_result(CentralNight), None)
    later_on = shifted(start.night) if sum_changes else start.night
    points = start.runs_round().points
    shows = points.index(WRITE) + 1  # the first write is the result
    refused = []
    for point in [n for n in range(1, shows) if points[n - 1] == DISK] + [shows]:
        here, again_at = machine(start.night, None), machine(later_on, None)
        killed = here.runs_round(point)
        assert killed.killed
        shutil.copytree(here.folder / "state", again_at.folder / "state")
        again = again_at.runs_round()
        offered = {d for key, d in (*killed.offered, *again.offered) if key == Keys.result(1)}
        assert len(offered) == (again.code == 0 or point == shows), f"killed at point {point}"
        if again.code:
            assert "another value of this round was shown" in again.output
            refused.append(point)
    assert (shows in refused) is sum_changes
    assert bool(refused) is sum_changes
