"""Provides faults in connections and in timing."""

from __future__ import annotations

from typing import Literal

import attrs

from asyncckpt.testing.responses import Ending, FaultContext, Pace, ServerResponse

Where = Literal["before", "headers", "body"]


@attrs.frozen
class Latency:
    """A delay before the first byte.

    Args:
        seconds: Length of the delay.
    """

    seconds: float

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Add to the delay."""
        return attrs.evolve(response, wait=response.wait + self.seconds)


@attrs.frozen
class SlowHeaders:
    """A status line and headers that are sent slowly, in pieces.

    Args:
        seconds: Time that they take in total.
        pieces: Number of pieces.
    """

    seconds: float
    pieces: int = 10

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Send the status line and the headers slowly."""
        return attrs.evolve(response, head_pace=Pace(self.seconds, self.pieces))


@attrs.frozen
class SlowBody:
    """A body that is sent slowly, in pieces.

    Args:
        seconds: Time that it takes in total.
        pieces: Number of pieces.
    """

    seconds: float
    pieces: int = 10

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Send the body slowly."""
        return attrs.evolve(response, body_pace=Pace(self.seconds, self.pieces))


def _stopped(
    response: ServerResponse, where: Where, share: float, ending: Ending
) -> ServerResponse:
    return attrs.evolve(
        response,
        head=where != "before",
        share=share if where == "body" else 0.0,
        ending=ending,
    )


@attrs.frozen
class Reset:
    """A connection reset (a TCP RST).

    If the connection breaks before the headers, aiohttp's `ClientSession` repeats a GET once. So an
    application that uses a `ClientSession` sees only every second of these resets.

    Args:
        where: `"before"` any byte of the response, after the `"headers"`, or in the `"body"`.
        share: The fraction of the body, 0.0 to 1.0, to send before a reset in the body.
    """

    where: Where = "before"
    share: float = 0.5

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Reset the connection."""
        return _stopped(response, self.where, self.share, Ending.RESET)


@attrs.frozen
class Hang:
    """A response that stops and never continues; the connection stays open.

    Args:
        where: `"before"` any byte of the response, after the `"headers"`, or in the `"body"`.
        share: The fraction of the body, 0.0 to 1.0, to send before a stop in the body.
    """

    where: Where = "before"
    share: float = 0.5

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Stop sending."""
        return _stopped(response, self.where, self.share, Ending.HANG)


@attrs.frozen
class CutBody:
    """A truncated body, after which the server closes the connection normally.

    Args:
        share: The fraction of the body, 0.0 to 1.0, to send.
        chunked: Whether to use chunked transfer coding; otherwise the Content-Length is too high.
    """

    share: float = 0.5
    chunked: bool = False

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Truncate the body."""
        altered = attrs.evolve(response, chunked=self.chunked)
        return _stopped(altered, "body", self.share, Ending.CLOSE)


@attrs.frozen
class EndlessBody:
    """A valid body, followed by an endless stream of spaces."""

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Never end the body."""
        return attrs.evolve(response, endless=True)


@attrs.frozen
class CloseAfter:
    """A valid response without `Connection: close`, after which the server closes anyway."""

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Close the connection afterwards."""
        return attrs.evolve(response, ending=Ending.CLOSE)


@attrs.frozen
class Chunked:
    """Not a fault: a valid body in chunked transfer coding."""

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Send the body in chunks."""
        return attrs.evolve(response, chunked=True)
