"""The policies of `hyperfed iam`, enforced by a server: each role does its work, and nothing
else.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hyperfed.client import ClientSession
from hyperfed.coordinator import RoundRunner
from hyperfed.errors import AccessDenied, ConfigError
from hyperfed.operations.access import Role, access_of, aws_policy, seaweedfs_actions
from hyperfed.operations.audit import audit
from hyperfed.operations.retention import prune
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS

BUCKET = "fed"


def actions(role: Role, client: str | None = None) -> list[str]:
    return seaweedfs_actions(access_of(role, client=client), bucket=BUCKET)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    clients = {c: actions(Role.CLIENT, c) for c in ("site-01", "site-02")}
    roles = {role.value: actions(role) for role in Role if role not in (Role.CLIENT, Role.HELPER)}
    with SeaweedFS(tmp_path_factory.mktemp("weed"), identities=clients | roles) as running:
        yield running


@pytest.fixture(scope="module")
def played(server: SeaweedFS) -> SmallFederation:
    """A night in which everybody uses their own access key."""
    server.store(BUCKET).close()
    federation = SmallFederation(clients=2, store=as_(server, "roots"))
    runner = RoundRunner(
        as_(server, "coordinator"),
        key_pair=federation.coordinator,
        now=federation.night(1),
        fingerprint=federation.fingerprint,
    )
    runner.open_round(1, policy=PolicyPack(), vocabulary=federation.vocabulary)
    for client in federation.clients:
        session = federation.session(client, store=as_(server, client))
        session.submit(
            federation.update(client),
            now=federation.opens(1) + timedelta(hours=1),
            plan=session.plan(1),
        )
    assert runner.run(1).counted == 2
    return federation


def as_(server: SeaweedFS, identity: str) -> ObjectStore:
    return server.store(BUCKET, identity=identity, create=False)


@pytest.mark.seaweedfs
def test_a_whole_night_works_with_least_privilege(
    server: SeaweedFS, played: SmallFederation
) -> None:
    session: ClientSession = played.session("site-01", store=as_(server, "site-01"))
    assert session.pull(now=played.night(1)) is not None
    assert session.receipt(1) is not None
    assert audit(as_(server, "auditor"), played.fingerprint, played.coordinator).ok
    reader = RoundRunner(
        as_(server, "housekeeping"),
        key_pair=played.coordinator,
        now=played.night(1),
        fingerprint=played.fingerprint,
    ).reader
    assert prune(reader, key_pair=played.coordinator, now=played.night(1)) is None


@pytest.mark.seaweedfs
@pytest.mark.parametrize(
    ("identity", "reads", "creates"),
    [
        (
            "site-01",
            [
                "rounds/00000001/state",
                "rounds/00000001/freeze",
                "rounds/00000001/receipts/site-02",
                Keys.receipt_page(1, page_of("site-02")),
                "inbox/00000001/site-02/0",
            ],
            ["ledger/x", "registry/x"],
        ),
        (
            "site-01",
            [],
            [
                "inbox/00000001/site-02/3",
                "rounds/00000001/x",
                "probe/x",
                "prefect/stages/x",
                "pruned/x",
            ],
        ),
        ("coordinator", [], ["registry/x", "inbox/00000001/site-01/3", "pruned/x"]),
        ("auditor", [], ["registry/x", "ledger/x", "rounds/x", "inbox/00000001/site-01/3"]),
        ("roots", ["ledger/000000000001", "inbox/00000001/site-01/0"], ["ledger/x", "rounds/x"]),
        ("housekeeping", [], ["ledger/x", "rounds/x", "registry/x"]),
    ],
)
def test_what_a_role_does_not_need_is_refused(
    server: SeaweedFS, played: SmallFederation, identity: str, reads: list[str], creates: list[str]
) -> None:
    store = as_(server, identity)
    for key in reads:
        with pytest.raises(AccessDenied):
            store.read(key, max_bytes=1 << 20)
    for key in creates:
        with pytest.raises(AccessDenied):
            store.put_if_absent(key, b"x")


def test_aws_policies_allow_no_overwriting_and_stay_inside_the_prefix() -> None:
    policy = aws_policy(access_of(Role.CLIENT, client="site-01"), bucket="fed", prefix="/prod/")
    by = {s["Sid"]: s for s in policy["Statement"]}
    assert by["CreateOnly"]["Condition"] == {"Null": {"s3:if-none-match": "false"}}
    assert by["CreateOnly"]["Resource"] == [
        "arn:aws:s3:::fed/prod/inbox/*/site-01/*",
        "arn:aws:s3:::fed/prod/gossip/*/*/site-01",
        "arn:aws:s3:::fed/prod/rounds/*/openings/*/site-01",
    ]
    assert all(r.startswith("arn:aws:s3:::fed/prod/") for r in by["Read"]["Resource"])
    assert not {"state", "accepted", "freeze"} & {
        r.rsplit("/", 1)[1] for r in by["Read"]["Resource"]
    }
    assert "s3:DeleteObject" not in json.dumps(policy)
    assert "Prune" in {
        s["Sid"] for s in aws_policy(access_of(Role.HOUSEKEEPING), bucket="fed")["Statement"]
    }
    assert "inbox/*" in access_of(Role.COORDINATOR, links=True).creates
    longest = aws_policy(access_of(Role.CLIENT, client="a" * 32), bucket="b" * 63)
    assert len("".join(json.dumps(longest).split())) <= 2048, "the most that a user's policy holds"


@pytest.mark.parametrize("role", list(Role))
def test_a_store_without_awss_condition_gets_the_same_rights_and_no_condition(role: Role) -> None:
    client = "site-01" if role in (Role.CLIENT, Role.HELPER) else None
    aws, others = (
        aws_policy(access_of(role, client=client), bucket="fed", create_only=create_only)
        for create_only in (True, False)
    )
    for statement in aws["Statement"]:
        statement.pop("Condition", None)
        statement["Sid"] = statement["Sid"].replace("CreateOnly", "Create")
    assert others == aws
    assert "Condition" not in json.dumps(others)


def test_a_clients_id_is_what_its_policy_is_for() -> None:
    with pytest.raises(ConfigError, match="client's id"):
        access_of(Role.CLIENT)
    with pytest.raises(ConfigError, match="client's id"):
        access_of(Role.AUDITOR, client="site-01")
    with pytest.raises(ConfigError, match="not a client id"):
        access_of(Role.CLIENT, client="*")


@pytest.mark.seaweedfs
@pytest.mark.parametrize(("identity", "code"), [("site-01", 0), ("admin", 1)])
def test_client_init_tells_a_narrow_key_from_one_that_may_do_too_much(
    server: SeaweedFS, played: SmallFederation, tmp_path: Path, identity: str, code: int
) -> None:
    from click.testing import CliRunner

    from hyperfed.cli.app import app

    secret, known = tmp_path / "access-key.toml", server.credentials(identity)
    secret.touch(mode=0o600)
    secret.write_text(f'access_key = "{known.access_key}"\nsecret_key = "{known.secret_key}"\n')
    store = [
        "--store",
        f"s3://{BUCKET}",
        "--endpoint",
        server.endpoint_url,
        "--access-key-file",
        str(secret),
        "--fingerprint",
        played.fingerprint,
    ]
    done = CliRunner().invoke(
        app,
        [
            "client",
            "init",
            "--dir",
            str(tmp_path / "c"),
            "--client-id",
            "site-01",
            *store,
            "--json",
        ],
        standalone_mode=True,
    )
    assert done.exit_code == code, done.output
    checks = {c["check"]: c for c in json.loads(done.output)["checks"]}
    assert checks["own inbox"]["good"]
    assert checks["clock"]["good"]
    assert "tolerated" in checks["clock"]["said"]
    assert checks["elsewhere"]["good"] is (code == 0)
    assert checks["the coordinator's state"]["good"] is (code == 0)
