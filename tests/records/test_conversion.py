"""What the converter makes of pages."""

import msgspec
import pytest

from asyncckpt import AsyncClient, FineTuningJobCheckpoint, converter
from asyncckpt.testing import Sandbox


@pytest.mark.parametrize("kind", ["checkpoints", "jobs"])
async def test_a_page_becomes_the_body_of_a_list(
    kind: str, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = client.fine_tuning.jobs
    page = await (jobs.list() if kind == "jobs" else jobs.checkpoints.list(sandbox.job_ids[0]))
    body = converter.unstructure(page)
    sent = msgspec.json.decode(page.response.content)
    assert body["data"] == [converter.unstructure(record) for record in page.data]
    assert body["data"] != []
    assert {name: body[name] for name in sent if name != "data"} == {
        name: sent[name] for name in sent if name != "data"
    }
    assert msgspec.json.decode(converter.dumps(page)) == body


async def test_hooks_on_a_copy_apply_inside_pages(sandbox: Sandbox, client: AsyncClient) -> None:
    own = converter.copy()
    own.register_unstructure_hook(FineTuningJobCheckpoint, lambda checkpoint: checkpoint.id)
    page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], limit=2)
    assert own.unstructure(page)["data"] == [checkpoint.id for checkpoint in page.data]


def test_dumps_returns_bytes() -> None:
    assert isinstance(converter.dumps({"a": 1}), bytes)
