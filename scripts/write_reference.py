"""Write the pages of docs/reference from the code.

python scripts/write_reference.py --write     # make them anew
python scripts/write_reference.py --check     # exit code 1 where one is not current
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reference.api_page import api_page
from reference.cli_page import cli_page
from reference.errors_page import errors_page
from reference.fields_page import policy_page, registry_page

ROOT = Path(__file__).parents[1]
FOLDER = Path("docs/reference")


def made_anew(root: Path) -> dict[Path, str]:
    """Return the pages as the code has them, by their path."""
    return {
        FOLDER / "api.md": api_page(root),
        FOLDER / "cli.md": cli_page(),
        FOLDER / "errors.md": errors_page(root),
        FOLDER / "policy.md": policy_page(root),
        FOLDER / "registry.md": registry_page(root),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="make the pages anew")
    what.add_argument("--check", action="store_true", help="exit code 1 where one is not current")
    given = parser.parse_args(arguments)
    pages = {path: text.rstrip("\n") + "\n" for path, text in made_anew(ROOT).items()}
    stale = [
        path
        for path, text in pages.items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if given.write:
            (ROOT / path).write_text(pages[path], encoding="utf-8")
            print(f"wrote {path}")
        else:
            print(f"{path} is not current: run `{parser.prog} --write`", file=sys.stderr)
    return 1 if stale and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
