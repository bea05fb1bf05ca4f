"""Turns records into tables, files and plots, and saves an account as an archive.

Tables and files work over any iterable or async iterable of records: the streams of this package,
your own generators, and lists.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncckpt.export.archiving import ArchiveResult, archive
    from asyncckpt.export.arrow import record_batches, to_arrow, to_pandas, to_polars
    from asyncckpt.export.columns import ColumnError, to_row
    from asyncckpt.export.files import write
    from asyncckpt.export.plots import JobPlot, Plot, plot
    from asyncckpt.export.progress import ArchiveProgress

__all__ = [
    "ArchiveProgress",
    "ArchiveResult",
    "ColumnError",
    "JobPlot",
    "Plot",
    "archive",
    "plot",
    "record_batches",
    "to_arrow",
    "to_pandas",
    "to_polars",
    "to_row",
    "write",
]

# The names are imported on first use, because most programs need only some of them.
_MODULES = {
    "ArchiveProgress": "asyncckpt.export.progress",
    "ArchiveResult": "asyncckpt.export.archiving",
    "archive": "asyncckpt.export.archiving",
    "ColumnError": "asyncckpt.export.columns",
    "JobPlot": "asyncckpt.export.plots",
    "Plot": "asyncckpt.export.plots",
    "plot": "asyncckpt.export.plots",
    "record_batches": "asyncckpt.export.arrow",
    "to_arrow": "asyncckpt.export.arrow",
    "to_pandas": "asyncckpt.export.arrow",
    "to_polars": "asyncckpt.export.arrow",
    "to_row": "asyncckpt.export.columns",
    "write": "asyncckpt.export.files",
}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
