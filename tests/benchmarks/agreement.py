"""Whether asyncckpt and the official SDK see the same: what is compared has to be comparable.

Both list the jobs of a sandbox; every field, page, cursor and error of the SDK is looked up under
the same name.
"""

from __future__ import annotations

from typing import Any, Final

import openai

import asyncckpt
from asyncckpt.testing import Sandbox

_LISTS: Final[tuple[dict[str, Any], ...]] = ({}, {"limit": 7}, {"limit": 100})


class DisagreementError(AssertionError):
    """The two differ."""


def _agree(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise DisagreementError(f"{what}: {ours!r}, and for the official SDK {theirs!r}")


def _same_record(path: str, ours: Any, theirs: openai.BaseModel) -> int:
    """Compare all that the SDK found in an object; return how many values that were."""
    values = 0
    for name in theirs.model_fields_set:
        value = getattr(theirs, name)
        mine = getattr(ours, name) if hasattr(ours, name) else ours.extra[name]
        values += _same_value(f"{path}.{name}", mine, value)
    return values


def _same_value(path: str, ours: Any, theirs: Any) -> int:
    if isinstance(theirs, openai.BaseModel):
        if not isinstance(ours, dict):
            return _same_record(path, ours, theirs)
        # A grader, of which there are many kinds, is plain data to asyncckpt.
        theirs = theirs.model_dump(exclude_unset=True)
    if isinstance(theirs, list):
        _agree(f"length of {path}", len(ours), len(theirs))
        return sum(
            _same_value(f"{path}[{place}]", mine, their)
            for place, (mine, their) in enumerate(zip(ours, theirs, strict=True))
        )
    _agree(path, ours, theirs)
    return 1


async def _same_pages(ours: Any, theirs: Any) -> int:
    """Compare two lists page by page, from their first pages on."""
    values = 0
    while True:
        values += _same_value("page.data", ours.data, theirs.data)
        for name in ("has_more", "object"):
            _agree(f"page.{name}", getattr(ours, name), getattr(theirs, name))
        _agree("page.has_next_page()", ours.has_next_page(), theirs.has_next_page())
        infos = ours.next_page_info(), theirs.next_page_info()
        _agree("page.next_page_info().params", *(info and dict(info.params) for info in infos))
        if not theirs.has_next_page():
            return values
        ours, theirs = await ours.get_next_page(), await theirs.get_next_page()


async def _same_error(ours: Any, theirs: Any) -> int:
    """Compare what a job is answered with that does not exist."""
    caught: list[Any] = []
    for jobs, expected in ((ours, asyncckpt.NotFoundError), (theirs, openai.NotFoundError)):
        try:
            await jobs.retrieve("ftjob-none")
        except expected as error:
            caught.append(error)
        else:
            raise DisagreementError("a job that does not exist was found")
    names = ("status_code", "code", "param", "type", "body")
    for name in names:
        _agree(f"error.{name}", *(getattr(error, name) for error in caught))
    return len(names)


async def check() -> int:
    """Compare the two.

    Returns:
        How many values were the same.

    Raises:
        DisagreementError: One was not.
    """
    async with (
        Sandbox(jobs=25, checkpoints=57) as sandbox,
        sandbox.client() as client,
        openai.AsyncOpenAI(base_url=sandbox.base_url, api_key=sandbox.api_key) as sdk,
    ):
        ours, theirs, job = client.fine_tuning.jobs, sdk.fine_tuning.jobs, sandbox.job_ids[0]
        after = sandbox.checkpoints_of(job)[10]["id"]
        values = 0
        for options in (*_LISTS, {"after": after}):
            values += await _same_pages(
                await ours.checkpoints.list(job, **options),
                await theirs.checkpoints.list(job, **options),
            )
            values += _same_value(
                "checkpoints",
                [one async for one in ours.checkpoints.list(job, **options)],
                [one async for one in theirs.checkpoints.list(job, **options)],
            )
        values += await _same_pages(await ours.list(), await theirs.list())
        values += _same_record("job", await ours.retrieve(job), await theirs.retrieve(job))
        return values + await _same_error(ours, theirs)
