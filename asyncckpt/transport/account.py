"""Holds what all calls with the same credentials to the same server share."""

from __future__ import annotations

import attrs

from asyncckpt.messages import Response
from asyncckpt.transport.credentials import Credentials
from asyncckpt.transport.gate import Gate
from asyncckpt.transport.retry_budget import RetryBudget

__all__ = ["Account"]


@attrs.define
class Account:
    """One set of credentials at one server, and what the client has learned about that server.

    Attributes:
        credentials: The API key.
        gate: The rate limiter that every request of the account passes.
        retry_budget: The tokens that all retries of the account share; None for no bound.
        last_refusal: The last response with status 429.
    """

    credentials: Credentials
    gate: Gate
    retry_budget: RetryBudget | None
    last_refusal: Response | None = attrs.field(default=None, repr=False)
