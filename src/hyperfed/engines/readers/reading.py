"""Open any source of data as a sheet: a path, "-" for the standard input, or a frame."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hyperfed.engines.readers.delimited import DelimitedSheet
from hyperfed.engines.readers.files import opened
from hyperfed.engines.readers.sheet import Form, Sheet
from hyperfed.errors import ConfigError

__all__ = ["DataSource", "open_sheet"]

DataSource = str | os.PathLike[str] | Any
"""A path, "-", or an object with `__arrow_c_stream__`, such as a frame of pandas or polars."""


@contextmanager
def open_sheet(source: DataSource, form: Form | None = None) -> Iterator[Sheet]:
    """Yield the sheet of a source of data, open.

    Raises ConfigError where it cannot be read, EngineError where what it holds is no table.
    """
    form = form or Form()
    if isinstance(source, str | os.PathLike):
        with opened(source) as file:
            if file.kind == "text":
                yield DelimitedSheet(file.subject, file.text(), form)
                return
            from hyperfed.engines.readers.arrow import sheet_of_file, translated

            path = Path(os.fspath(source))
            whole = path if path.is_file() else file.stream.read()
            with translated(file.subject):
                yield sheet_of_file(file.subject, file.kind, whole, form)
        return
    from hyperfed.engines.readers.arrow import is_frame, name_of, sheet_of_frame, translated

    if not is_frame(source):
        raise ConfigError(
            f"a {type(source).__name__} is no source of data",
            subject="reader",
            remedy="Give a path, or a frame with __arrow_c_stream__ (pandas, polars, pyarrow); "
            "collect() a lazy one first",
        )
    with translated(name_of(source)):
        yield sheet_of_frame(source, form)
