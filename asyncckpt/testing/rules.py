"""Decides which requests a fault applies to."""

from __future__ import annotations

import random
from collections.abc import Sequence

import attrs

from asyncckpt.testing.faults import Fault
from asyncckpt.testing.responses import FaultContext, RecordedRequest, ServerResponse


@attrs.define(eq=False)
class FaultRule:
    """The faults of one call of `Sandbox.inject`, and the requests that they apply to.

    Args:
        faults: The faults, in the order in which they apply.
        times: The number of requests to apply the faults to; None for no limit.
        probability: The probability, 0.0 to 1.0, that the faults apply to a matching request.
        path: Only requests whose path contains this text.
        job: Only requests for this job.
        page: Only requests for this page of a list, from 1.
        reused: Only requests on a connection that was used for an earlier request (True), or on a
            new connection (False).
        hits: The number of requests that the faults have applied to.

    Raises:
        ValueError: There is no fault, or a number is out of its range.
    """

    faults: Sequence[Fault]
    times: int | None
    probability: float
    path: str | None
    job: str | None
    page: int | None
    reused: bool | None
    _random: random.Random = attrs.field(repr=False)
    hits: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        if not self.faults:
            raise ValueError("inject() needs at least one fault, such as faults.Status(500)")
        if self.times is not None and self.times < 0:
            message = f"times is {self.times}; give 0 or more, or None for every request"
            raise ValueError(message)
        if not 0.0 <= self.probability <= 1.0:
            message = f"probability is {self.probability}; give a number from 0.0 to 1.0"
            raise ValueError(message)

    def claims(self, request: RecordedRequest) -> bool:
        """Return whether the faults apply to a request; if so, count the request."""
        if not self._matches(request):
            return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Apply the faults to a response, in order."""
        for fault in self.faults:
            response = fault.apply(response, context)
        return response

    def stop(self) -> None:
        """Apply to no more requests."""
        self.times = self.hits

    def _matches(self, request: RecordedRequest) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and (self.path is None or self.path in request.path)
            and (self.job is None or self.job == request.job_id)
            and (self.page is None or self.page == request.page)
            and (self.reused is None or self.reused == request.reused)
        )
