"""Lists the checkpoints of fine-tuning jobs, and fetches the next page while you use this one."""

import importlib
from typing import TYPE_CHECKING

from asyncckpt.client import AsyncClient
from asyncckpt.errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    OpenAIError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from asyncckpt.messages import Request, Response
from asyncckpt.options import NOT_GIVEN, NotGiven, Timeout
from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, Metrics
from asyncckpt.streams.fanin import FanIn, JobFailure, Progress
from asyncckpt.streams.page import Page, PageInfo
from asyncckpt.streams.pager import Pager

if TYPE_CHECKING:
    from asyncckpt.records.conversion import converter
    from asyncckpt.records.jobs import FineTuningJob

__version__ = "0.1.0"

__all__ = [
    "NOT_GIVEN",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "FanIn",
    "FineTuningJob",
    "FineTuningJobCheckpoint",
    "InternalServerError",
    "JobFailure",
    "Metrics",
    "NotFoundError",
    "NotGiven",
    "OpenAIError",
    "Page",
    "PageInfo",
    "Pager",
    "PaginationError",
    "PermissionDeniedError",
    "Progress",
    "RateLimitError",
    "Request",
    "Response",
    "Timeout",
    "UnprocessableEntityError",
    "__version__",
    "converter",
]


_IMPORTED_ON_DEMAND = {
    "FineTuningJob": "asyncckpt.records.jobs",
    "converter": "asyncckpt.records.conversion",
}


if not TYPE_CHECKING:  # a type checker would take it for a yes to every name

    def __getattr__(name: str) -> object:
        if name not in _IMPORTED_ON_DEMAND:
            raise AttributeError(f"module 'asyncckpt' has no attribute {name!r}")
        globals()[name] = getattr(importlib.import_module(_IMPORTED_ON_DEMAND[name]), name)
        return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
