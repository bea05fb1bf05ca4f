"""The example that serves metrics to Prometheus, as a process of its own."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from asyncckpt.testing import Sandbox, faults

from support.apps import App, running_app

Samples = dict[tuple[str, tuple[str, ...]], float]

CHECKPOINTS = "/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints"


async def scraped(app: App) -> Samples:
    async with app.session.get(f"{app.url}/metrics") as response:
        assert response.status == 200
        text = await response.text()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped_until(app: App, name: str, *labels: str, value: float) -> Samples:
    async with asyncio.timeout(30):
        while (samples := await scraped(app)).get((name, labels), 0) < value:
            await asyncio.sleep(0.02)
    return samples


async def test_what_the_client_does_can_be_scraped() -> None:
    async with Sandbox(jobs=4, checkpoints=30) as sandbox:
        sandbox.inject(faults.Status(503))
        sandbox.inject(faults.Reset("headers"))
        sandbox.inject(faults.Status(403), path="/checkpoints")
        records = sum(len(sandbox.checkpoints_of(job)) for job in sandbox.job_ids)
        async with running_app(
            "prometheus_metrics.py", sandbox, "--every", "0.05", ready="/metrics"
        ) as app:
            # The first round lacks the job that failed, the second has all.
            many = "fine_tuning.jobs.checkpoints.list_many"
            samples = await scraped_until(app, "asyncckpt_records_total", many, value=records + 1)
            assert samples["asyncckpt_records_total", ("fine_tuning.jobs.list",)] >= 8
            count = "asyncckpt_request_duration_seconds_count"
            assert samples[count, ("200", CHECKPOINTS)] >= 4
            assert samples[count, ("503", "/v1/fine_tuning/jobs")] == 1
            assert samples[count, ("APIConnectionError", "/v1/fine_tuning/jobs")] == 1
            assert samples["asyncckpt_retries_total", ("backoff",)] == 2
            assert samples["asyncckpt_failures_total", ("PermissionDeniedError",)] == 1
            assert sandbox.api_key not in repr(samples)
            stopped = await app.stop()
            assert (stopped.code, stopped.err) == (0, "")
