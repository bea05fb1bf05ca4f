"""Reads the path of a URL as one of the API's path templates."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["path_template"]

_JOB: Final = "fine_tuning_job_id"
_ID: Final = re.compile(r"(?P<before>/fine_tuning/jobs/|/files/)(?P<id>[^/]+)")


def path_template(url: str) -> tuple[str, str | None]:
    """Return the path of a URL with the names of ids in place of ids, and the id of the job.

    The names are those of the API reference.

    Args:
        url: The absolute URL of a call.

    Returns:
        The template, such as ``/v1/fine_tuning/jobs/{fine_tuning_job_id}``, and the job in the
        path, decoded; None if there is no job in it.
    """
    job_id: str | None = None

    def named(found: re.Match[str]) -> str:
        nonlocal job_id
        if found["before"] == "/files/":
            return "/files/{file_id}"
        job_id = unquote(found["id"])
        return f"{found['before']}{{{_JOB}}}"

    return _ID.sub(named, urlsplit(url).path), job_id
