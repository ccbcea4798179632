"""Print, as a shell's `export` lines, the certificate, index and proxy that pip is set to.

uv does not read pip's configuration. Where its own variables, or everybody's, say something
already, that stays.
"""

import ast
import os
import shlex
import subprocess
import sys

VARIABLES = {
    "cert": ["SSL_CERT_FILE"],
    "index-url": ["UV_DEFAULT_INDEX", "UV_INDEX_URL"],
    "proxy": ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"],
}
RANKS = {"global": 0, "install": 1, ":env:": 2}  # what overrides what

found: dict[str, tuple[int, str]] = {}
listed = subprocess.run(
    [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
)
for line in listed.stdout.splitlines():
    name, _, value = line.partition("=")
    section, _, option = name.rpartition(".")
    rank = RANKS.get(section, -1)
    if rank >= found.get(option, (-1, ""))[0]:
        found[option] = (rank, ast.literal_eval(value))
for option, variables in VARIABLES.items():
    if option in found and not any(os.environ.get(variable) for variable in variables):
        print(f"export {variables[0]}={shlex.quote(found[option][1])}")
