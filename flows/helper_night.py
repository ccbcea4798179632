"""Help to open secure sums, where the helper runs Prefect itself.

1. A schedule runs this several times an hour: keys are published ahead of a round, boxes are
   confirmed after its window's end, and its manifest is answered after the coordinator's run.
2. Keys of rounds and the record of what was answered lie beside the helper's key. What Prefect
   stores are numbers of rounds, counts, and why a client or a manifest was refused.
3. A run that is repeated, late or too early is harmless: what was answered gets the same answer.
4. A run that refuses a round fails, once for each refusal: somebody has to look at it. The round
   says so, too.
"""

from datetime import datetime
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.states import Completed, Failed

from flows.coordination import rename_run
from hyperfed.report.wording import visible
from tasks.helper_visit import helper_visit

__all__ = ["helper_night"]


@flow(name="helper-night", flow_run_name="helper night", persist_result=False)
def helper_night(
    config: str = "hyperfed.toml", now: datetime | None = None
) -> State[dict[str, Any]]:
    """Publish keys, confirm boxes, answer manifests and erase old keys, as far as each is due.

    Args:
        config: Path of the helper's hyperfed.toml.
        now: The clock, for rehearsals; when empty, the real one.
    """
    visit = helper_visit(config, now)
    logger = get_run_logger()
    for name, why in visit["unconfirmed"].items():
        logger.warning("flow=helper-night client=%s unconfirmed=%s", name, visible(why))
    logger.info(
        "flow=helper-night helper=%s published=%s confirmed=%s answered=%s refused=%s erased=%s",
        visit["helper"],
        *(sorted(visit[name]) for name in _DONE),
    )
    rename_run(f"{visit['helper']} helps")
    if visit["told"]:
        why = "; ".join(visible(visit["refused"][number]) for number in visit["told"])
        return Failed(message=f"refused: {why}", data=visit)
    done = [f"{name} {_rounds(visit[name])}" for name in _DONE if visit[name]]
    return Completed(message="; ".join(done) or "nothing was due", data=visit)


_DONE = ("published", "confirmed", "answered", "refused", "erased")


def _rounds(numbers: list[int] | dict[int, Any]) -> str:
    return "round " + ", ".join(map(str, sorted(numbers)))
