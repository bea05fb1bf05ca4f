"""Defines the API's objects as frozen attrs classes, and their conversion from and to JSON."""

import importlib
from typing import TYPE_CHECKING

from asyncckpt.records.base import Extra, extra_field

if TYPE_CHECKING:
    from asyncckpt.records.conversion import converter
    from asyncckpt.records.events import FineTuningJobEvent
    from asyncckpt.records.jobs import FineTuningJob
    from asyncckpt.records.steps import StepMetrics

__all__ = [
    "Extra",
    "FineTuningJob",
    "FineTuningJobEvent",
    "StepMetrics",
    "converter",
    "extra_field",
]

# These modules are slow to import, and programs that list checkpoints do not need them.
_MODULES = {
    "FineTuningJob": "asyncckpt.records.jobs",
    "FineTuningJobEvent": "asyncckpt.records.events",
    "StepMetrics": "asyncckpt.records.steps",
    "converter": "asyncckpt.records.conversion",
}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULES[name]), name)
