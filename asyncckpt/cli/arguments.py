"""Defines arguments that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cyclopts import Parameter
from cyclopts.validators import Number

from asyncckpt.cli.connection import Connection, FinitePositive, finite
from asyncckpt.cli.destination import Destination
from asyncckpt.cli.inputs import read_ids
from asyncckpt.cli.terminal import UsageError

__all__ = [
    "DEFAULT_CONNECTION",
    "DEFAULT_DESTINATION",
    "FAILED",
    "AllJobs",
    "AtLeastOne",
    "FinitePositive",
    "JobIds",
    "MaxRecords",
    "PageSize",
    "Repeatable",
    "chosen_ids",
    "finite",
]

FAILED: Final = 1

DEFAULT_CONNECTION = Connection()
DEFAULT_DESTINATION = Destination()
# To allow "-", this allows everything that looks like an option; `read_ids` rejects the rest.
JobIds = Parameter(name="JOB_ID", allow_leading_hyphen=True, show_default=False)
AllJobs = Parameter(name="--all", negative="", show_default=False)
Repeatable = Parameter(negative="", show_default=False)
AtLeastOne = Parameter(validator=Number(gte=1))
MaxRecords = Parameter(alias="--max-items", validator=Number(gte=1))
PageSize = Parameter(validator=Number(gte=1, lte=100))


def chosen_ids(arguments: Sequence[str], all_jobs: bool, connection: Connection) -> list[str]:
    """Return the ids of the jobs that the arguments name.

    Args:
        arguments: Job ids, or "-" for those on standard input.
        all_jobs: Whether all jobs of the account are meant instead.
        connection: How to reach the API.

    Raises:
        UsageError: No job is named, or ids are combined with all jobs.
    """
    if all_jobs and arguments:
        raise UsageError("--all and JOB_ID cannot be combined")
    ids = read_ids(arguments)
    if not ids and not all_jobs and not connection.sandbox:
        raise UsageError("pass at least one JOB_ID or --all, or try --sandbox")
    return ids
