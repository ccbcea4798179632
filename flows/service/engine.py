"""Run one flow run as Prefect's engine does, in a process that unpickles nothing.

The worker starts it as its child (`flows.service.worker`):

    python -m flows.service.engine FLOW_RUN_ID

1. PREFECT__FLOW_ENTRYPOINT names the flow, in the worker's own checkout. Prefect's engine then asks
   the server for no storage, no pull steps and no entrypoint.
2. A state on the server may name a result and the serializer to read it with. Prefect's default is
   pickle, which runs what the bytes say. Hyperfed's flows keep nothing in that form, so reading it
   is refused here.
"""

import runpy
import sys
from typing import Any, NoReturn

from hyperfed.errors import SchemaError

__all__ = ["refuse_pickles"]


def _refused(self: Any, blob: bytes) -> NoReturn:
    raise SchemaError(
        "would have to be unpickled, which runs what its bytes say",
        subject="a result that the Prefect server names",
        rule="R-140",
        remedy="Find out who wrote that state: no flow of Hyperfed keeps such a result",
    )


def refuse_pickles() -> None:
    """Let Prefect's serializers of this process read no pickle."""
    from prefect.serializers import PickleSerializer

    PickleSerializer.loads = _refused  # type: ignore[method-assign]


if __name__ == "__main__":
    refuse_pickles()
    sys.argv = ["prefect.engine", *sys.argv[1:]]
    runpy.run_module("prefect.engine", run_name="__main__")
