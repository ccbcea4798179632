"""The keys of a client's boxes on its disk: for how long, and what a damaged file says."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hyperfed.client.box_keys import BoxKeys
from hyperfed.errors import ConfigError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = NOW + timedelta(days=8)
KEYS = {"help-1": bytes(range(32)), "help-2": bytes(32)}


def test_they_outlive_the_process_and_not_their_time(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    BoxKeys(path).keep(3, KEYS, now=NOW, until=UNTIL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert BoxKeys(path).of(3, now=UNTIL - timedelta(seconds=1)) == KEYS
    assert BoxKeys(path).of(4, now=NOW) == {}
    BoxKeys(path).forget(now=UNTIL)
    assert KEYS["help-1"].hex() not in path.read_text()


def test_a_later_round_erases_what_is_past_and_a_newer_message_replaces(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = BoxKeys(path)
    keys.keep(3, KEYS, now=NOW, until=UNTIL)
    keys.keep(3, {"help-1": bytes(32)}, now=NOW, until=UNTIL)
    assert keys.of(3, now=NOW) == {"help-1": bytes(32)}
    keys.keep(12, KEYS, now=UNTIL, until=UNTIL + timedelta(days=1))
    assert keys.of(3, now=NOW) == {}
    keys.erase(12, now=UNTIL)
    assert path.read_text() == "{}\n"


@pytest.mark.parametrize("text", ["", "[]", '{"3": {}}', '{"3": {"until": "x", "keys": {}}}'])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is not a file of boxes' keys"):
        BoxKeys(path).keep(3, KEYS, now=NOW, until=UNTIL)
    assert path.read_text() == text
