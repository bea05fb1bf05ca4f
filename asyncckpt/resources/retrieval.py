"""Retrieves one fine-tuning job."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from asyncckpt import records
from asyncckpt.messages import Response
from asyncckpt.options import RequestOptions
from asyncckpt.protocol.request import path_segment
from asyncckpt.records.codec import Decoder
from asyncckpt.resources.ownership import send_for_job
from asyncckpt.streams.page import ignore

if TYPE_CHECKING:
    from asyncckpt.counts import RequestCounts
    from asyncckpt.resources.endpoint import Endpoint

__all__ = ["job_path", "retrieve_job"]


@functools.cache
def _job() -> Decoder[records.FineTuningJob]:
    return Decoder(records.FineTuningJob)


def job_path(fine_tuning_job_id: object) -> str:
    """Return the path of a job.

    Raises:
        TypeError: The id is not a string.
        ValueError: The id would make a different path.
    """
    return f"/fine_tuning/jobs/{path_segment('fine_tuning_job_id', fine_tuning_job_id)}"


async def retrieve_job(
    endpoint: Endpoint, job_id: str, options: RequestOptions, counts: RequestCounts
) -> tuple[records.FineTuningJob, Response]:
    """Retrieve a job.

    Args:
        endpoint: Where to send.
        job_id: The job.
        options: The options of the call.
        counts: Counts the requests.

    Returns:
        The job, and the response that it was in.

    Raises:
        Exception: Any exception of `send_for_job` or `job_path`.
    """
    call = endpoint.call(job_path(job_id), endpoint.query(options, {}), options, counts)

    def decode(
        response: Response,
    ) -> tuple[tuple[records.FineTuningJob, Response], frozenset[str]]:
        job = _job().decode(response.content)
        return (job, response), frozenset({job.id} - {job_id, ""})

    return await send_for_job(endpoint.session, call, job_id, decode, ignore)
