"""Faults as ordered: which requests they meet, and how often."""

from __future__ import annotations

import random
from collections.abc import Sequence

import attrs

from asyncckpt.testing.answers import Answer, Exchange, RecordedRequest
from asyncckpt.testing.faults import Fault


@attrs.define(eq=False)
class Order:
    """Faults ordered with `Sandbox.inject`.

    Args:
        faults: What to apply, one after the other.
        times: How many requests at most, or None for every one.
        probability: The chance that a request which matches is met.
        path: Only requests whose path contains this.
        job: Only requests about this job.
        page: Only requests for this page of a list, from 1.
        reused: Only requests on a connection that has, or has not, carried one before.
        hits: How many requests were met so far.
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

    def meets(self, request: RecordedRequest) -> bool:
        """Whether a request is met; if it is, it is counted."""
        if not self._matches(request):
            return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Apply the faults to an answer, in order."""
        for fault in self.faults:
            answer = fault.apply(answer, exchange)
        return answer

    def stop(self) -> None:
        """Meet no more requests."""
        self.times = self.hits

    def _matches(self, request: RecordedRequest) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and (self.path is None or self.path in request.path)
            and (self.job is None or self.job == request.job_id)
            and (self.page is None or self.page == request.page)
            and (self.reused is None or self.reused == request.reused)
        )
