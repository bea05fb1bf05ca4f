"""A program that measures its client, and serves the measurements to Prometheus.

Run it with ``python docs/examples/prometheus_metrics.py --port 9100`` and ``OPENAI_API_KEY`` set.
It reads the checkpoints of the whole account again and again, and serves ``/metrics``.
"""

import argparse
import asyncio
import contextlib
import signal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from asyncckpt import APIError, AsyncClient, hooks


class PrometheusHook:
    """A hook that counts requests, retries, pauses and records."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # A job id would make a time series of its own for each job, so it is no label.
        self.requests = Histogram(
            "asyncckpt_request_duration_seconds",
            "Duration of requests.",
            ["path", "outcome"],
            registry=registry,
        )
        self.retries = Counter(
            "asyncckpt_retries", "Requests sent again.", ["reason"], registry=registry
        )
        self.paused = Counter(
            "asyncckpt_paused_seconds",
            "How long calls waited before they were sent.",
            ["reason"],
            registry=registry,
        )
        self.failures = Counter(
            "asyncckpt_failures", "Calls that raised an error.", ["error"], registry=registry
        )
        self.records = Counter(
            "asyncckpt_records", "Records delivered.", ["operation"], registry=registry
        )
        self.pace = Gauge(
            "asyncckpt_pace",
            "Requests per second that the client sends at most.",
            registry=registry,
        )

    def __call__(self, event: hooks.Event) -> None:
        """Measure an event."""
        match event:
            case hooks.ResponseReceived():
                outcome = str(event.status_code)
                self.requests.labels(event.path_template, outcome).observe(event.duration)
            case hooks.RequestFailed():
                outcome = type(event.error).__name__
                self.requests.labels(event.path_template, outcome).observe(event.duration)
            case hooks.RetryScheduled():
                self.retries.labels(event.reason).inc()
            case hooks.Paused():
                self.paused.labels(event.reason).inc(event.duration)
            case hooks.CallFailed():
                self.failures.labels(type(event.error).__name__).inc()
            case hooks.PageDelivered():
                self.records.labels(event.operation).inc(event.records)
            case hooks.PaceChanged(after=float(pace)):
                self.pace.set(pace)
            case _:
                pass


async def main(port: int, every: float) -> None:
    registry = CollectorRegistry()
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        async with AsyncClient(hooks=PrometheusHook(registry)) as client:
            jobs = client.fine_tuning.jobs
            while True:
                # A failure is measured already, and the next round may succeed.
                with contextlib.suppress(APIError):
                    async for _ in jobs.checkpoints.list_many(jobs.list(), on_error="collect"):
                        pass
                await asyncio.sleep(every)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def until_stopped(port: int, every: float) -> None:
    work = asyncio.create_task(main(port, every))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--every", type=float, default=60, help="seconds between two rounds")
    arguments = parser.parse_args()
    asyncio.run(until_stopped(arguments.port, arguments.every))
