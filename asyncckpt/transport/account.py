"""Holds what calls with the same credentials and server share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from asyncckpt.messages import Response
from asyncckpt.transport.credentials import Credentials
from asyncckpt.transport.gate import Gate
from asyncckpt.transport.retry_budget import RetryBudget

if TYPE_CHECKING:
    from asyncckpt.hooks import Hooks

__all__ = ["Account"]


@attrs.define
class Account:
    """The credentials for one server, with its rate limiter and retry budget.

    Attributes:
        credentials: The API key.
        gate: The rate limiter for all requests of the account.
        retry_budget: The retry budget of all calls of the account; None for no limit.
        hooks: The hooks of the client; None if it has none.
        last_refusal: The last response with status 429; None if there was no such response.
    """

    credentials: Credentials
    gate: Gate
    retry_budget: RetryBudget | None
    hooks: Hooks | None = None
    last_refusal: Response | None = attrs.field(default=None, repr=False)
