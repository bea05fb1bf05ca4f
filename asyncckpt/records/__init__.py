"""Defines the API's objects as frozen attrs classes, and their conversion from and to JSON."""

import importlib
from typing import TYPE_CHECKING

from asyncckpt.records.base import Extra, extra_field

if TYPE_CHECKING:
    from asyncckpt.records.jobs import FineTuningJob

__all__ = ["Extra", "FineTuningJob", "extra_field"]

# Creating these classes is slow, and most programs only list checkpoints.
_MODULES = {"FineTuningJob": "asyncckpt.records.jobs"}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULES[name]), name)
