"""Fetch a committed model for the commands that read one: the newest, or that of a round.

The ledger is verified first, and a model that it does not commit to is refused.
"""

from typing import TYPE_CHECKING

from hyperfed.cli.invocation import Invocation
from hyperfed.errors import ObjectNotFound

if TYPE_CHECKING:
    from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["committed_models"]


def committed_models(invocation: Invocation, *round_ids: int | None) -> "tuple[GlobalModel, ...]":
    """Return the model of each round; None stands for the newest.

    Raises ObjectNotFound where a round has no model, and what verifying raises.
    """
    from hyperfed.report.view import committed_model

    models = []
    with invocation.out.step("Fetching and verifying"):
        session = invocation.session(signing=False)
        ledger = session.check_ledger()
        for round_id in round_ids:
            if round_id is None:
                newest = session.pull(now=invocation.now)
                model = None if newest is None else newest.value
            else:
                model = committed_model(session.reader, ledger, round_id)
            if model is None:
                raise ObjectNotFound(
                    "has no model: it is not committed"
                    if round_id is not None
                    else "no round has been committed yet",
                    subject="global model" if round_id is None else f"round {round_id}",
                    remedy="See how far a round has come with `hyperfed round status`",
                )
            models.append(model)
    return tuple(models)
