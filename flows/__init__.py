"""Define the Prefect flows, which run from the checkout and are never installed.

Whoever imports a flow imports this package before Prefect, so this is where Prefect's telemetry is
turned off.
"""

import os

from hyperfed.config import no_telemetry

os.environ.update(no_telemetry(os.environ))
