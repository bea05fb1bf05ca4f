"""What a watch requests of one job."""

import pytest

from asyncckpt.resources.endpoint import Endpoint
from asyncckpt.resources.feeds import Feed
from asyncckpt.testing import Sandbox, faults


def feed_of(sandbox: Sandbox, endpoint: Endpoint) -> Feed:
    return Feed(endpoint, sandbox.job_ids[0], endpoint.defaults)


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("openai-poll-after-ms", "1500", 1.5),
        ("Retry-After", "7", 7.0),
        ("X-Poll-Interval", "9", 9.0),
        ("X-Other", "9", None),
    ],
)
async def test_a_job_says_when_to_poll_it_again(
    sandbox: Sandbox, name: str, value: str, seconds: float | None
) -> None:
    sandbox.inject(faults.Header(name, value))
    async with sandbox.client() as client:
        sighting = await feed_of(sandbox, client.fine_tuning.jobs._endpoint).job()
    assert sighting.poll_after == seconds
    assert sighting.job.id == sandbox.job_ids[0]


@pytest.mark.parametrize("name", ["checkpoints", "events"])
async def test_pages_are_small_or_large(
    sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncckpt.resources.endpoint.PAGE_SIZE", 100)
    async with sandbox.client() as client:
        source = getattr(feed_of(sandbox, client.fine_tuning.jobs._endpoint), name)
        first = await source(None, small=True)
        second = await source(first.data[-1].id, small=False)
    assert len(first.data) == 20
    assert second.data[0].id not in {record.id for record in first.data}
    assert [request.query["limit"] for request in sandbox.requests] == ["20", "100"]
