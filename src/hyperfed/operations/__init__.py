"""Look after a drop-box between its rounds: audit, pruning, offline transfer, access, schedules."""
