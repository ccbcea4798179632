"""hyperfed.toml: where it is looked for, what it may say, and that an error names file and key."""

from pathlib import Path

import pytest

from hyperfed.client.settings import Settings, check_fingerprint, find_config, load_settings
from hyperfed.errors import ConfigError
from tests.unit.cli.conftest import Desk, World

FINGERPRINT = "0123456789abcdef" * 4


def _load(folder: Path, text: str) -> Settings:
    (folder / "hyperfed.toml").write_text(text)
    return load_settings(folder / "hyperfed.toml")


def test_every_setting_is_read_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        f"""
        [store]
        url = "s3://bucket/prefix"
        endpoint = "https://s3.example.org"
        region = "eu-central-1"
        access_key_file = "store.toml"
        [federation]
        fingerprint = "{FINGERPRINT[:32].upper()} {FINGERPRINT[32:]}"
        [client]
        id = "hospital-1"
        key = "keys/hospital.key"
        memory = "/var/lib/hyperfed/memory.json"
        [coordinator]
        key = "coordinator.key"
        [root]
        keys = ["r1.key", "/mnt/stick/r2.key"]
        [worker]
        folder = "runs"
        policy = {{ sealed = true, vote_min = [0.2, 0.5], lags = [1] }}
        """,
    )
    assert (
        settings.text("store.url"),
        settings.text("store.endpoint"),
        settings.text("store.region"),
    ) == (
        "s3://bucket/prefix",
        "https://s3.example.org",
        "eu-central-1",
    )
    assert settings.fingerprint == FINGERPRINT
    assert settings.file("store.access_key_file") == tmp_path / "store.toml"
    assert settings.file("client.key") == tmp_path / "keys" / "hospital.key"
    assert settings.file("client.memory") == Path("/var/lib/hyperfed/memory.json")
    assert settings.file("coordinator.key") == tmp_path / "coordinator.key"
    assert settings.files("root.keys") == (tmp_path / "r1.key", Path("/mnt/stick/r2.key"))
    assert settings.need("client.id") == "hospital-1"
    assert settings.file("worker.folder") == tmp_path / "runs"
    assert settings.values["worker.policy"] == {
        "sealed": True,
        "vote_min": (0.2, 0.5),
        "lags": (1,),
    }


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ("[store\n", "is not TOML", ""),
        ('[federation]\nfingerprnt = "x"\n', "[federation] fingerprnt is unknown", "'fingerprint'"),
        ('[stores]\nurl = "x"\n', "section [stores] is unknown", "'store'"),
        ('store = "file:box"\n', "[store] must be a section", "[store]"),
        ("[store]\nurl = 7\n", "[store] url must be a text", ""),
        ('[store]\nurl = ""\n', "[store] url must be a text", ""),
        ('[root]\nkeys = "r1.key"\n', "[root] keys must be a list", ""),
        ('[federation]\nfingerprint = "abc"\n', "64 hexadecimal digits", "operator"),
        ('[client]\nid = "No Id"\n', "not a client id", "a-z"),
        ("[worker]\npolicy = 3\n", "[worker] policy must give a value", "vote_min = [0.2"),
        ("[worker]\npolicy = { vote_mn = 1 }\n", "policy.vote_mn is unknown", "'vote_min'"),
        ("[worker]\npolicy = { vote_min = [1] }\n", "[worker] policy must give", "two numbers"),
        ("[worker]\npolicy = { f = [1, true] }\n", "[worker] policy must give", "two numbers"),
        ('[worker]\nrounds_back = "all"\n', "must be a whole number", "rounds_back = 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(
    tmp_path: Path, text: str, said: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert said in caught.value.problem
    assert str(tmp_path / "hyperfed.toml") in caught.value.subject
    assert remedy in caught.value.remedy


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    for folder in (here, home / ".config" / "hyperfed"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    named, mine, users = (
        tmp_path / "named.toml",
        here / "hyperfed.toml",
        home / ".config" / "hyperfed" / "hyperfed.toml",
    )
    assert find_config(None, environment={}, home=home) is None
    users.write_text("")
    assert find_config(None, environment={}, home=home) == users
    mine.write_text("")
    assert find_config(None, environment={}, home=home) == mine
    named.write_text("")
    assert find_config(None, environment={"HYPERFED_CONFIG": str(named)}, home=home) == named
    assert find_config(users, environment={"HYPERFED_CONFIG": str(named)}, home=home) == users
    for given, environment in (
        (tmp_path / "gone.toml", {}),
        (None, {"HYPERFED_CONFIG": str(tmp_path / "gone.toml")}),
    ):
        with pytest.raises(ConfigError, match="no such configuration file"):
            find_config(given, environment=environment, home=home)


def test_options_win_and_stand_before_or_after_the_command(world: World) -> None:
    world.federation.open(1)
    (world.desk.folder / "other.toml").write_text(world.config("ohio"))
    assert world.desk("status", "--json").json["client_id"] == "texas"
    assert world.desk("--config", "other.toml", "status", "--json").json["client_id"] == "ohio"
    assert world.desk("status", "--config", "other.toml", "--json").json["client_id"] == "ohio"
    assert (
        world.desk("status", "--config", "other.toml", "--client-id", "iowa", "--json").json[
            "client_id"
        ]
        == "iowa"
    )
    assert (
        world.desk("status", "--json", env={"HYPERFED_CONFIG": "other.toml"}).json["client_id"]
        == "ohio"
    )
    assert world.desk("--json", "status").json["client_id"] == "texas"


def test_what_is_missing_is_said_with_where_to_put_it(desk: Desk) -> None:
    error = desk.fails(2, "status")
    assert (
        error["problem"] == "[store] url is not set" or error["problem"] == "[client] id is not set"
    )
    assert "hyperfed.toml" in error["subject"]
    assert "Give --" in error["remedy"]


@pytest.mark.parametrize(
    "text",
    [
        FINGERPRINT,
        FINGERPRINT.upper(),
        " ".join(FINGERPRINT[i : i + 4] for i in range(0, 64, 4)),
        FINGERPRINT[:32] + ":" + FINGERPRINT[32:],
    ],
)
def test_a_fingerprint_as_people_write_it(text: str) -> None:
    assert check_fingerprint(text, subject="x") == FINGERPRINT


@pytest.mark.parametrize(
    "text",
    [
        "",
        FINGERPRINT[:-1],
        FINGERPRINT + "0",
        "g" + FINGERPRINT[1:],
        "\N{FULLWIDTH DIGIT ONE}" + FINGERPRINT[1:],
    ],
)
def test_what_is_no_fingerprint(text: str) -> None:
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        check_fingerprint(text, subject="x")


def test_a_byte_order_mark_in_any_text_file_is_no_part_of_it(world: World) -> None:
    """Notepad and PowerShell write it before hyperfed.toml, keys and enrolments."""
    world.desk.ok("keygen", "new.key")
    world.desk.ok("enroll", "--client-id", "new-1", "--organisation", "N", "--key", "new.key")
    for name in ("hyperfed.toml", "new.key", "new.key.pub", "new-1.enrolment"):
        path = Path(name)
        mode, text = path.stat().st_mode, path.read_bytes()
        path.write_bytes(b"\xef\xbb\xbf" + text)
        path.chmod(mode)
    world.desk.ok("enroll", "--client-id", "new-2", "--organisation", "N", "--key", "new.key")
    assert world.desk("status").code == 4, "nothing there yet"
    world.desk.ok("registry", "add", "new-1.enrolment", "--out", "new.draft", "--yes")


def test_a_home_folder_that_is_not_there_is_named_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(ConfigError, match="this user has none") as caught:
        _load(tmp_path, '[client]\nkey = "~/hospital.key"\n')
    assert "[client] key" in caught.value.subject
