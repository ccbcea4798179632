"""Print, as constraints, the lowest version that pyproject.toml allows of each dependency.

Extras' are among them. `name>=1.2,<2` becomes `name==1.2`; one without a lower bound is an error.
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
lowest: set[str] = set()
for group in (project["dependencies"], *project["optional-dependencies"].values()):
    for requirement in group:
        said = re.fullmatch(
            r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?>=([0-9][0-9.]*)(?:,<[0-9.]+)?", requirement
        )
        if said is None:
            sys.exit(f"pyproject.toml: {requirement!r} is not of the form name>=X or name>=X,<Y")
        lowest.add("{}=={}".format(*said.groups()))
sys.stdout.writelines(f"{line}\n" for line in sorted(lowest, key=str.lower))
