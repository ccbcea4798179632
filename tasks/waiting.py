"""Log waiting for stragglers as one line, where Prefect would speak of a failure.

Collect raises QuorumPending so that Prefect looks again later, which is no failure. The task run's
state says AwaitingRetry, which is true. Only the line that its engine logs beside it is replaced.
Every other failure, and a QuorumPending after the last retry, is logged as Prefect does it.
"""

import logging

from hyperfed.errors import QuorumPending

__all__ = ["WaitingIsNoFailure", "say_waiting"]


class WaitingIsNoFailure(logging.Filter):
    """Replaces the engine's line about a QuorumPending that is retried, and drops nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, so that the record is logged; it may have been changed."""
        pending = (
            [a for a in record.args if isinstance(a, QuorumPending)]
            if isinstance(record.args, tuple)
            else []
        )
        if pending and record.levelno <= logging.INFO:
            (error,) = pending
            record.msg, record.args, record.exc_info = (
                f"{error.subject}: {error.problem}; {error.remedy}",
                (),
                None,
            )
        return True


def say_waiting() -> None:
    """Have the engine's logger of task runs report waiting as waiting.

    Calling it again is harmless.
    """
    logger = logging.getLogger("prefect.task_runs")
    # a worker may import this module twice
    if not any(type(f).__qualname__ == WaitingIsNoFailure.__qualname__ for f in logger.filters):
        logger.addFilter(WaitingIsNoFailure())
