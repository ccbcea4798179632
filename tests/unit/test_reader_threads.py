"""A reader that several threads ask at once, as judging processes' questions are: what one has found no other lets go meanwhile."""

import threading
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest

from hyperfed import dropbox
from hyperfed.adapters.memory import MemoryStore
from hyperfed.dropbox import DropBoxReader
from hyperfed.rounds import Keys

pytestmark = pytest.mark.unit


class Reader(DropBoxReader):
    """Which believes what it reads."""

    def verify(self, data: bytes, *, key: str, **_: Any) -> Any:
        return SimpleNamespace(key=key)


def test_what_a_thread_has_found_no_other_lets_go_before_it_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropbox, "_KEPT", 1)
    store = MemoryStore()
    for number in (1, 2):
        store.put_if_absent(Keys.freeze(number), b"x")
    reader = Reader(store, fingerprint=None)
    others: list[threading.Thread] = []

    class Slow(OrderedDict[str, Any]):
        """While one moves what it has found, another reads something else."""

        def move_to_end(self, key: str, last: bool = True) -> None:
            others.append(threading.Thread(target=reader.freeze, args=(2,)))
            others[-1].start()
            others[-1].join(0.3)
            super().move_to_end(key, last)

    reader._known = Slow()
    for _ in range(2):
        found = reader.freeze(1)
        assert found is not None
        assert found.key == Keys.freeze(1)
    assert others
    for other in others:
        other.join(30)
    assert [*reader._known] == [Keys.freeze(2)]
