"""Put a federation into service on a Prefect server, as `hyperfed service install` does.

This takes blocks, a work pool, deployments, schedules and automations.
"""

from flows.service.install import Wanted, install
from flows.service.retry import retry_round
from flows.service.schedules import apply_schedules
from flows.service.telling import save_mail, save_webhook
from flows.service.worker import run_worker

__all__ = [
    "Wanted",
    "apply_schedules",
    "install",
    "retry_round",
    "run_worker",
    "save_mail",
    "save_webhook",
]
