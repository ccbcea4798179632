"""Putting a federation into service on a Prefect server: blocks, work pool, deployments, schedules, automations. `hyperfed service install`."""

from flows.service.install import Wanted, install
from flows.service.retry import retry_round
from flows.service.schedules import apply_schedules
from flows.service.telling import save_mail, save_webhook

__all__ = ["Wanted", "apply_schedules", "install", "retry_round", "save_mail", "save_webhook"]
