"""Lists the checkpoints of fine-tuning jobs, and prefetches pages while you use the current one."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncckpt.client import AsyncClient
    from asyncckpt.errors import (
        APIConnectionError,
        APIError,
        APIResponseValidationError,
        APIStatusError,
        APITimeoutError,
        ArchiveError,
        AuthenticationError,
        BadRequestError,
        ConflictError,
        CursorExpiredError,
        InternalServerError,
        NoCheckpointError,
        NotFoundError,
        OpenAIError,
        PaginationError,
        PermissionDeniedError,
        RateLimitError,
        UnprocessableEntityError,
    )
    from asyncckpt.messages import Request, Response
    from asyncckpt.options import (
        NOT_GIVEN,
        CallOptions,
        NotGiven,
        Omit,
        Timeout,
        WatchOptions,
        omit,
    )
    from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, Metrics
    from asyncckpt.records.conversion import converter
    from asyncckpt.records.events import FineTuningJobEvent
    from asyncckpt.records.jobs import FineTuningJob
    from asyncckpt.records.steps import StepMetrics
    from asyncckpt.streams.curve import Curve
    from asyncckpt.streams.explanation import Explanation
    from asyncckpt.streams.failures import JobFailure
    from asyncckpt.streams.fanin import FanIn, Progress
    from asyncckpt.streams.page import Page, PageInfo
    from asyncckpt.streams.pager import Pager
    from asyncckpt.streams.ranking import Ranked
    from asyncckpt.streams.updates import (
        CaughtUp,
        CheckpointCreated,
        EventLogged,
        Finished,
        StatusChanged,
        Update,
    )
    from asyncckpt.streams.watch import CheckpointWatch, Watch

__version__ = "0.1.0"

__all__ = [
    "NOT_GIVEN",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "ArchiveError",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "CallOptions",
    "CaughtUp",
    "CheckpointCreated",
    "CheckpointWatch",
    "ConflictError",
    "CursorExpiredError",
    "Curve",
    "EventLogged",
    "Explanation",
    "FanIn",
    "FineTuningJob",
    "FineTuningJobCheckpoint",
    "FineTuningJobEvent",
    "Finished",
    "InternalServerError",
    "JobFailure",
    "Metrics",
    "NoCheckpointError",
    "NotFoundError",
    "NotGiven",
    "Omit",
    "OpenAIError",
    "Page",
    "PageInfo",
    "Pager",
    "PaginationError",
    "PermissionDeniedError",
    "Progress",
    "Ranked",
    "RateLimitError",
    "Request",
    "Response",
    "StatusChanged",
    "StepMetrics",
    "Timeout",
    "UnprocessableEntityError",
    "Update",
    "Watch",
    "WatchOptions",
    "__version__",
    "converter",
    "omit",
]

# The names are imported on first use: the command must handle Ctrl-C before the slow imports, and a
# pytest run that only loads the plugin needs none of them.
_NAMES = {
    "asyncckpt.client": ("AsyncClient",),
    "asyncckpt.errors": (
        "APIConnectionError",
        "APIError",
        "APIResponseValidationError",
        "APIStatusError",
        "APITimeoutError",
        "ArchiveError",
        "AuthenticationError",
        "BadRequestError",
        "ConflictError",
        "CursorExpiredError",
        "InternalServerError",
        "NoCheckpointError",
        "NotFoundError",
        "OpenAIError",
        "PaginationError",
        "PermissionDeniedError",
        "RateLimitError",
        "UnprocessableEntityError",
    ),
    "asyncckpt.messages": ("Request", "Response"),
    "asyncckpt.options": (
        "NOT_GIVEN",
        "CallOptions",
        "NotGiven",
        "Omit",
        "Timeout",
        "WatchOptions",
        "omit",
    ),
    "asyncckpt.records.checkpoints": ("FineTuningJobCheckpoint", "Metrics"),
    "asyncckpt.records.conversion": ("converter",),
    "asyncckpt.records.events": ("FineTuningJobEvent",),
    "asyncckpt.records.jobs": ("FineTuningJob",),
    "asyncckpt.records.steps": ("StepMetrics",),
    "asyncckpt.streams.curve": ("Curve",),
    "asyncckpt.streams.explanation": ("Explanation",),
    "asyncckpt.streams.failures": ("JobFailure",),
    "asyncckpt.streams.fanin": ("FanIn", "Progress"),
    "asyncckpt.streams.page": ("Page", "PageInfo"),
    "asyncckpt.streams.pager": ("Pager",),
    "asyncckpt.streams.ranking": ("Ranked",),
    "asyncckpt.streams.updates": (
        "CaughtUp",
        "CheckpointCreated",
        "EventLogged",
        "Finished",
        "StatusChanged",
        "Update",
    ),
    "asyncckpt.streams.watch": ("CheckpointWatch", "Watch"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module 'asyncckpt' has no attribute {name!r}")
        # `importlib.import_module` does the same, but importlib would have to be imported first.
        module = __import__(_MODULES[name], fromlist=[name])
        globals()[name] = getattr(module, name)
        return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
