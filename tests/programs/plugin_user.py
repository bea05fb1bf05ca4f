"""Tests of a user of the pytest plugin, for a pytest of their own."""

import asyncio
from collections.abc import Iterator

import pytest

from asyncckpt import AsyncClient, InternalServerError, RateLimitError
from asyncckpt.testing import Clock, Sandbox, faults, limiters

LIMITED = pytest.mark.asyncckpt_sandbox(rate_limit=limiters.FixedWindow(limit=1, seconds=60))


@pytest.mark.asyncio
@pytest.mark.asyncckpt_sandbox(jobs=3)
async def test_asynchronous(asyncckpt_sandbox: Sandbox) -> None:
    assert len(asyncckpt_sandbox.job_ids) == 3


def test_sync(asyncckpt_sandbox: Sandbox) -> None:
    assert len(asyncckpt_sandbox.job_ids) == 12


def test_sync_client(asyncckpt_client: AsyncClient) -> None:
    async def main() -> int:
        return len((await asyncckpt_client.fine_tuning.jobs.list()).data)

    assert asyncio.run(main()) == 12


def test_unused_client(asyncckpt_client: AsyncClient) -> None:
    assert not asyncckpt_client.is_closed


@pytest.fixture
def used() -> Iterator[list[AsyncClient]]:
    """Collect the clients of a test, which must be closed when it ends."""
    clients = list[AsyncClient]()
    yield clients
    assert all(client.is_closed for client in clients)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(scope, marks=pytest.mark.asyncio(loop_scope=scope))
        for scope in ("function", "class", "module", "package", "session")
    ],
)
class TestLoopScopes:
    async def test_loop_scope(
        self,
        used: list[AsyncClient],
        asyncckpt_client: AsyncClient,
        asyncckpt_sandbox: Sandbox,
        scope: str,
        number: int,
    ) -> None:
        used.append(asyncckpt_client)
        checkpoints = asyncckpt_client.fine_tuning.jobs.checkpoints
        # A prefetched page is left behind.
        async for _ in checkpoints.list(asyncckpt_sandbox.job_ids[0], limit=5):
            break
        await asyncckpt_sandbox.idle()


left = list[asyncio.Task[object]]()


@pytest.mark.asyncio(loop_scope="session")
class TestLeftBehind:
    async def test_left_running(
        self, asyncckpt_client: AsyncClient, asyncckpt_sandbox: Sandbox
    ) -> None:
        asyncckpt_sandbox.inject(faults.Hang())
        retrieving = asyncckpt_client.fine_tuning.jobs.retrieve(asyncckpt_sandbox.job_ids[0])
        left.append(asyncio.create_task(retrieving))
        await asyncckpt_sandbox.busy()

    async def test_left_ended(self) -> None:
        with pytest.raises(RuntimeError, match="closed"):
            await left.pop()


@pytest.mark.asyncckpt_sandbox(jobs=2, live=1, clock=Clock(speed=0), profile="azure")
class TestMarks:
    @pytest.mark.asyncckpt_sandbox(jobs=1)
    def test_the_nearest_mark_takes_precedence(self, asyncckpt_sandbox: Sandbox) -> None:
        assert len(asyncckpt_sandbox.job_ids) == 2
        assert asyncckpt_sandbox.base_url.endswith("/openai/v1")

    @pytest.mark.asyncio
    @pytest.mark.asyncckpt_client(max_retries=0)
    @pytest.mark.asyncckpt_faults(faults.Status(502), path="/checkpoints", times=None)
    @pytest.mark.asyncckpt_faults(faults.Status(503), path="/checkpoints")
    async def test_faults(self, asyncckpt_client: AsyncClient, asyncckpt_sandbox: Sandbox) -> None:
        checkpoints = asyncckpt_client.fine_tuning.jobs.checkpoints
        for status in (503, 502, 502):
            with pytest.raises(InternalServerError) as caught:
                await checkpoints.list(asyncckpt_sandbox.job_ids[0])
            assert caught.value.status_code == status


class TestOwnSandbox:
    @pytest.fixture(scope="class")
    @classmethod
    def asyncckpt_sandbox(cls) -> Iterator[Sandbox]:
        with Sandbox(jobs=2) as sandbox:
            yield sandbox

    @pytest.mark.asyncio
    @pytest.mark.parametrize("number", [1, 2])
    async def test_own_sandbox(
        self, asyncckpt_sandbox: Sandbox, asyncckpt_client: AsyncClient, number: int
    ) -> None:
        assert len((await asyncckpt_client.fine_tuning.jobs.list()).data) == 2
        assert asyncckpt_sandbox.stats.requests == number


@LIMITED
@pytest.mark.asyncckpt_client(max_retries=0)
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.asyncio
async def test_limited(asyncckpt_client: AsyncClient, number: int) -> None:
    await asyncckpt_client.fine_tuning.jobs.list()
    with pytest.raises(RateLimitError):
        await asyncckpt_client.fine_tuning.jobs.list()


@pytest.mark.asyncckpt_sandbox(3)
def test_wrong_position(asyncckpt_sandbox: Sandbox) -> None:
    raise AssertionError("the fixture fails")


@pytest.mark.asyncckpt_sandbox(job=3)
def test_wrong_argument(asyncckpt_sandbox: Sandbox) -> None:
    raise AssertionError("the fixture fails")


@pytest.mark.asyncckpt_sandbox(zzz=3)
def test_wrong_nonsense(asyncckpt_sandbox: Sandbox) -> None:
    raise AssertionError("the fixture fails")


@pytest.mark.asyncckpt_client(max_retry=3)
def test_wrong_option(asyncckpt_client: AsyncClient) -> None:
    raise AssertionError("the fixture fails")


@pytest.mark.asyncckpt_sandbox(max_retries=0)
def test_wrong_mark(asyncckpt_sandbox: Sandbox) -> None:
    raise AssertionError("the fixture fails")


@pytest.mark.asyncckpt_sandbox(faults=[faults.Reset()])
def test_wrong_faults(asyncckpt_sandbox: Sandbox) -> None:
    raise AssertionError("the fixture fails")


@pytest.mark.asyncckpt_faults(faults.Reset(), time=3)
def test_wrong_times(asyncckpt_sandbox: Sandbox) -> None:
    raise AssertionError("the fixture fails")


@pytest.mark.asyncckpt(jobs=3)
def test_wrong_name(asyncckpt_sandbox: Sandbox) -> None:
    raise AssertionError("the fixture fails")
