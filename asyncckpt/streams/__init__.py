"""Turns pages into async iterators. Nothing in this package depends on HTTP."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncckpt.streams.criteria import Mode
    from asyncckpt.streams.ranking import Ranked
    from asyncckpt.streams.restarts import OnExpiredCursor
    from asyncckpt.streams.watch import CheckpointWatch

__all__ = ["CheckpointWatch", "Mode", "OnExpiredCursor", "Ranked"]

# Programs that list checkpoints do not need these modules.
_MODULES = {
    "CheckpointWatch": "asyncckpt.streams.watch",
    "Mode": "asyncckpt.streams.criteria",
    "OnExpiredCursor": "asyncckpt.streams.restarts",
    "Ranked": "asyncckpt.streams.ranking",
}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULES[name]), name)
