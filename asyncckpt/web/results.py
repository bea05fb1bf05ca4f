"""Turns results and errors of the client into HTTP statuses and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from asyncckpt.errors import (
    APITimeoutError,
    NoCheckpointError,
    NotFoundError,
    RateLimitError,
)
from asyncckpt.records import converter

if TYPE_CHECKING:
    from asyncckpt.streams.ranking import Ranked

__all__ = ["error_json", "ranked_json", "status_of"]


def status_of(error: Exception) -> int:
    """Return the HTTP status with which a web app passes an error on.

    It is 404 if there is no such job or checkpoint, 503 if the rate limit of the API is used up,
    504 if the API took too long, and 502 for everything else: it is not the reader's fault.
    """
    if isinstance(error, NotFoundError | NoCheckpointError):
        return 404
    if isinstance(error, RateLimitError):
        return 503
    return 504 if isinstance(error, APITimeoutError) else 502


def error_json(error: Exception) -> str:
    """Return an error as JSON, in the shape of the API's errors.

    It has the class of the error but not its message, which may be about the account.
    """
    return json.dumps(
        {"error": {"type": type(error).__name__, "message": _PUBLIC[status_of(error)]}}
    )


_PUBLIC: Final = {
    404: "There is no such job, or it has no checkpoint to rank.",
    502: "The fine-tuning API failed.",
    503: "The fine-tuning API is busy.",
    504: "The fine-tuning API took too long.",
}


def ranked_json(ranked: Ranked) -> str:
    """Return a ranked checkpoint as JSON, with the `explanation` of its job."""
    checkpoint: object = converter.unstructure(ranked.checkpoint)
    return json.dumps(
        {
            "rank": ranked.rank,
            "metric": ranked.metric,
            "mode": ranked.mode,
            "value": ranked.value,
            "checkpoint": checkpoint,
            "explanation": str(ranked.explain()),
        }
    )
