"""Defines the API's objects as frozen attrs classes, and their conversion from and to JSON."""

from typing import TYPE_CHECKING

from asyncckpt.records.base import Extra, extra_field

if TYPE_CHECKING:
    from asyncckpt.records.jobs import FineTuningJob

__all__ = ["Extra", "FineTuningJob", "extra_field"]


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        # Creating the classes of jobs is slow, and most programs only list checkpoints.
        if name != "FineTuningJob":
            raise AttributeError(f"module 'asyncckpt.records' has no attribute {name!r}")
        from asyncckpt.records.jobs import FineTuningJob

        return FineTuningJob
