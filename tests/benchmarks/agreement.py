"""Whether asyncckpt and the official SDK return the same: only then can they be compared."""

from __future__ import annotations

from typing import Any, Final

import openai

import asyncckpt
from asyncckpt.testing import Sandbox

_LISTS: Final[tuple[dict[str, Any], ...]] = ({"limit": 7}, {"limit": 100})
_ERROR: Final = ("status_code", "code", "param", "type", "body")


class DisagreementError(AssertionError):
    """The two differ."""


def _same(ours: object, theirs: object) -> int:
    """Compare every value that the SDK found; return how many there were."""
    if isinstance(theirs, openai.BaseModel):
        theirs = {name: getattr(theirs, name) for name in theirs.model_fields_set}
    if isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        return sum(map(_same, ours, theirs))
    if isinstance(theirs, dict):
        extra = getattr(ours, "extra", {})
        return sum(
            _same(
                ours[name] if isinstance(ours, dict) else getattr(ours, name, extra.get(name)),
                value,
            )
            for name, value in theirs.items()
        )
    if ours != theirs:
        raise DisagreementError(f"asyncckpt {ours!r}, official SDK {theirs!r}")
    return 1


async def _error_of(jobs: Any) -> dict[str, object]:
    try:
        await jobs.retrieve("ftjob-none")
    except (asyncckpt.NotFoundError, openai.NotFoundError) as error:
        return {name: getattr(error, name) for name in _ERROR}
    raise DisagreementError("a job that does not exist was found")


async def check() -> int:
    """List the same jobs with both.

    Returns:
        How many values were equal.

    Raises:
        DisagreementError: One was not.
    """
    async with (
        Sandbox(jobs=25, checkpoints=57) as sandbox,
        sandbox.client() as client,
        openai.AsyncOpenAI(base_url=sandbox.base_url, api_key=sandbox.api_key) as sdk,
    ):
        ours, theirs, job = client.fine_tuning.jobs, sdk.fine_tuning.jobs, sandbox.job_ids[0]
        equal = _same(await _error_of(ours), await _error_of(theirs))
        equal += _same(await ours.retrieve(job), await theirs.retrieve(job))
        for options in _LISTS:
            mine = [page async for page in ours.checkpoints.list(job, **options).pages()]
            first = await theirs.checkpoints.list(job, **options)
            other = [page async for page in first.iter_pages()]
            for one, two in zip(mine, other, strict=True):
                equal += _same(list(one.data), two.data) + _same(one.has_more, two.has_more)
        return equal
