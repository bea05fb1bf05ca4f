"""The API's objects as frozen attrs classes, and their conversion from and to JSON.

Jobs and the converter are imported on first use: most programs only list checkpoints.
"""

import importlib
from typing import TYPE_CHECKING

from asyncckpt.records.base import Extra, extra_field

if TYPE_CHECKING:
    from asyncckpt.records.conversion import converter
    from asyncckpt.records.jobs import FineTuningJob

__all__ = ["Extra", "FineTuningJob", "converter", "extra_field"]

_IMPORTED_ON_DEMAND = {
    "FineTuningJob": "asyncckpt.records.jobs",
    "converter": "asyncckpt.records.conversion",
}


if not TYPE_CHECKING:  # a type checker would take it for a yes to every name

    def __getattr__(name: str) -> object:
        if name not in _IMPORTED_ON_DEMAND:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(importlib.import_module(_IMPORTED_ON_DEMAND[name]), name)
        return globals()[name]
