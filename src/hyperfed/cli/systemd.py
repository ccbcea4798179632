"""Write command lines by systemd's rules."""

import re
from collections.abc import Sequence

from hyperfed.errors import ConfigError

__all__ = ["check_words", "systemd_command"]


def check_words(words: Sequence[str], *, subject: str = "") -> None:
    """Raise ConfigError for a word with a line break, which no line can hold.

    `subject` names what the word is for; by default the error names the word itself.
    """
    for word in words:
        if not all(c.isprintable() for c in word):
            raise ConfigError(
                "has a character that no line of a timer or a unit can hold",
                subject=subject or ascii(word)[:120],
                remedy="Rename the file, or run it by a link with another name",
            )


def systemd_command(words: Sequence[str]) -> str:
    """Return a command line by systemd's rules of quoting (systemd.service, "Command lines")."""
    quoted = []
    for word in words:
        text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        quoted.append(text if re.fullmatch(r"[\w./:@=,+-]+", word, re.ASCII) else f'"{text}"')
    return " ".join(quoted)
