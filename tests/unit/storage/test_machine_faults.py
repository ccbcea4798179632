"""What a full disk, a limit or a wrong path becomes, and what stays our own mistake."""

import errno
import os
import threading
from typing import Any

import click
import numpy as np
import pytest

from hyperfed.errors import ConfigError, HyperfedError, MachineError
from hyperfed.merge import spill_file
from hyperfed.storage.machine_faults import as_ours, behind_interrupt


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (OSError(errno.ENOSPC, "No space left", "/t/x"), MachineError, "/t/x: there is no room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), MachineError, "TMPDIR"),
        (OSError(errno.EMFILE, "Too many open files"), MachineError, "ulimit -n"),
        (RuntimeError("can't start new thread"), MachineError, "ulimit -u"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), MachineError, "-u"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), MachineError, "not enough memory"),
        (ImportError("x.so: failed to map segment from shared object"), MachineError, "ulimit -v"),
        (PermissionError(errno.EACCES, "Permission denied", "/r"), MachineError, "/r"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.csv"), ConfigError, "a.csv"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), ConfigError, "a: cannot be used"),
    ],
)
def test_what_a_machine_can_cause_is_named_with_a_remedy(
    fault: BaseException, kind: type[HyperfedError], says: str
) -> None:
    said = as_ours(fault)
    assert type(said) is kind
    assert says in str(said)
    assert said.remedy  # type: ignore[attr-defined]


def test_our_own_mistakes_stay_ours() -> None:
    for fault in (
        RuntimeError("x"),
        OSError("no number"),
        OSError(errno.EBADF, "Bad file"),
        ImportError("No module named 'x'"),
        KeyError(),
    ):
        assert as_ours(fault) is fault


def interrupted_in(file: str) -> BaseException:
    """Return an interrupt that came while code of `file` ran, as click wraps it."""
    try:
        try:
            exec(compile("raise KeyboardInterrupt", file, "exec"))  # noqa: S102 - a frame of it
        except KeyboardInterrupt as interrupt:
            raise click.exceptions.Abort from interrupt
    except click.exceptions.Abort as abort:
        return abort


def test_openblas_without_threads_is_told_from_a_person_s_ctrl_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loading = interrupted_in("/lib/site-packages/numpy/_core/multiarray.py")
    working = interrupted_in("/lib/site-packages/hyperfed/cli/app.py")
    assert behind_interrupt(loading) is None, "there are threads to be had"

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert behind_interrupt(working) is None
    assert "ulimit -u" in str(behind_interrupt(loading))


def test_a_full_disk_under_a_round_names_the_folder_and_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(MachineError, match=r"temporary file in .*no room left.*set TMPDIR"):
        spill_file.write(0, [np.zeros(3)], 0)
