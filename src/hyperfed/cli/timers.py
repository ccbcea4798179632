"""How a machine runs a client every night, as text: systemd, cron, Prefect.

1. Times are UTC: windows are. systemd's timer says so itself; cron runs in the machine's own zone, so its line carries CRON_TZ.
2. A lost connection is tried again: systemd restarts the night until the window ends, Prefect retries its tasks; a repeated night sends nothing twice.
"""

import re
from pathlib import Path

from hyperfed.errors import ConfigError

__all__ = ["timer_text"]

_SYSTEMD = """# /etc/systemd/system/hyperfed-night.service
[Unit]
Description=Hyperfed: a client's night
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=4h
StartLimitBurst=20

[Service]
Type=oneshot
ExecStart={command}
Restart=on-failure
RestartSec=10min
NoNewPrivileges=yes
PrivateTmp=yes

# /etc/systemd/system/hyperfed-night.timer
[Unit]
Description=Hyperfed: a client's night

[Timer]
OnCalendar=*-*-* {hour:02d}:{minute:02d}:00 UTC
RandomizedDelaySec=10min
Persistent=true

[Install]
WantedBy=timers.target

# then: systemctl daemon-reload && systemctl enable --now hyperfed-night.timer"""

_CRON = """CRON_TZ=UTC
{minute} {hour} * * * {command} || (sleep 600 && {command})"""

_PREFECT = """# beside deployments/prefect.yaml; then: prefect --no-prompt deploy --name client-night --prefect-file THIS-FILE
pull:
  - prefect.deployments.steps.set_working_directory: {{directory: "{{{{ $HYPERFED_CHECKOUT }}}}"}}
deployments:
  - name: client-night
    entrypoint: flows/client_night.py:client_night
    parameters: {{config: {config}, {source}: {file}, model_folder: {out}}}
    work_pool: {{name: hyperfed-client}}
    concurrency_limit: {{limit: 1, collision_strategy: ENQUEUE}}
    schedules:
      - {{cron: "{minute} {hour} * * *", timezone: UTC}}"""


def timer_text(kind: str, *, moment: str, command: str, config: Path, source: str, file: Path, out: Path) -> str:
    """The text for `kind`: systemd, cron or prefect. source, file: "data" and a CSV, or "below" and the settings of a federation below.

    Raises ConfigError for a moment that is not HH:MM.
    """
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", moment)
    if found is None:
        raise ConfigError(f"{moment!r:.20} is no time of day", subject="--at", remedy="Write it as 20:00")
    form = {"systemd": _SYSTEMD, "cron": _CRON, "prefect": _PREFECT}[kind]
    safe = command.replace("%", "%%") if kind == "systemd" else command.replace("%", r"\%")
    return form.format(command=safe, hour=int(found[1]), minute=int(found[2]), config=config, source=source, file=file, out=out)
