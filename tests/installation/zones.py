"""A time zone whose clocks change in a moment, for processes that are yet to start.

It has the name of a real one, before which it is found: by glibc (`TZDIR`), by Python and by the
library with which Prefect's server computes schedules (`PYTHONTZPATH`). The file is TZif as RFC
9636 has it, written here: zic takes no two changes within an hour. Neither does whenever, by which
Prefect computes schedules from Python 3.13 on.
"""

import struct
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

__all__ = ["NAME", "changing_zone"]

NAME = "Europe/Berlin"
_SYSTEM = "/usr/share/zoneinfo"
_NAMES = b"CET\0CEST\0"
_TYPES = struct.pack(">lBBlBB", 3600, 0, 0, 7200, 1, 4)  # offset, is summer time, name's index


def changing_zone(folder: Path, *, forward: datetime, back: datetime) -> Mapping[str, str]:
    """Make the zone, and return the environment of a process that lives in it.

    Its clocks go an hour forward at one instant, and an hour back at the other.
    """
    instants = [int(forward.timestamp()), int(back.timestamp())]
    data = b""
    for form in (">ll", ">qq"):  # readers of version 2 skip the first block
        data += b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 2, 2, len(_NAMES))
        data += struct.pack(form, *instants) + b"\1\0" + _TYPES + _NAMES
    path = folder / "zones" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(data + b"\nCET-1\n")
    zones = f"{folder}/zones"
    return {"TZ": NAME, "TZDIR": zones, "PYTHONTZPATH": f"{zones}:{_SYSTEM}"}
