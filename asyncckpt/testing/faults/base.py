"""Defines the interface of a fault."""

from __future__ import annotations

from typing import Protocol

from asyncckpt.testing.responses import FaultContext, ServerResponse


class Fault(Protocol):
    """Changes a response before it is sent."""

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Return the response to send instead of `response`."""
        ...
