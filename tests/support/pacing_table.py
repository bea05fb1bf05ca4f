"""The situations that pacing is measured in, with what is required of each.

`tests/transport/test_pacer.py` checks every row. Run this module to write the table in
`docs/pacing.md`, from seeds that neither the tests nor the choice of the constants used:

    python tests/support/pacing_table.py
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import attrs

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from asyncckpt.testing.limiters import (
    Concurrency,
    FixedWindow,
    Hints,
    Limiter,
    SlidingWindow,
    TokenBucket,
)

from support.limiters import ChangingBucket, Noise, Outage, Unlimited, least_seconds
from support.simulation import Client, Run, Simulation

TUNED_SEEDS: Final = range(5)
HELD_BACK_SEEDS: Final = range(100, 120)

WHOLE_SECONDS: Final = Hints()
ONE_SECOND: Final = Hints(retry_after=1)
ANNOUNCED: Final = Hints(None, ratelimit=True)


@attrs.frozen
class Outcome:
    """What one simulation came to.

    Args:
        value: The figure of the row.
        refused: The share of requests refused, in percent.
        lost: How many jobs failed.
    """

    value: float
    refused: float = 0.0
    lost: int = 0


@attrs.frozen
class Row:
    """One situation.

    Args:
        situation: What the server does.
        figure: What is measured, for the heading of the value.
        measure: Simulates it with a seed.
        required: The largest value allowed; the smallest if `is_at_least`.
        most_refused: The largest share of refused requests, in percent; None for no bound.
    """

    situation: str
    figure: str
    measure: Callable[[int], Outcome]
    required: float
    most_refused: float | None = None
    is_at_least: bool = False

    def worst(self, seeds: range) -> Outcome:
        """Return the worst value, and the largest share refused, over some seeds."""
        outcomes = [self.measure(seed) for seed in seeds]
        worst = min if self.is_at_least else max
        return Outcome(
            worst(outcome.value for outcome in outcomes),
            max(outcome.refused for outcome in outcomes),
            sum(outcome.lost for outcome in outcomes),
        )

    def is_met_by(self, outcome: Outcome, *, slack: float = 1.0) -> bool:
        """Whether an outcome is as required; `slack` is a factor that the value may be off by."""
        meets = (
            outcome.value * slack >= self.required
            if self.is_at_least
            else outcome.value <= self.required * slack
        )
        within = self.most_refused is None or outcome.refused <= self.most_refused
        return meets and within and not outcome.lost


_SERVER = {"latency", "jitter", "service", "refused_job"}


def simulate(
    make: Callable[[int], Limiter], seed: int, hints: Hints | None = None, **options: Any
) -> Run:
    """Run one client; `options` are those of `Simulation` and of `Client`."""
    server_options = {name: options.pop(name) for name in _SERVER & options.keys()}
    server = Simulation(make(seed), hints, seed=seed, until=3600.0, **server_options)
    client = Client(server, **options)
    server.run()
    return client.result


def over_least(
    make: Callable[[int], Limiter],
    hints: Hints | None = None,
    *,
    least: float | None = None,
    slack: float = 0.0,
    **options: Any,
) -> Callable[[int], Outcome]:
    """Measure the time, less `slack` seconds, over the least possible."""
    requests = options.get("jobs", 400) * options.get("pages", 3)

    def measure(seed: int) -> Outcome:
        run = simulate(make, seed, hints, **options)
        shortest = least_seconds(make(seed), requests) if least is None else least
        return Outcome(
            (run.seconds - slack) / shortest,
            100 * run.share_refused,
            run.lost_jobs + (len(run.accepted) < requests),
        )

    return measure


def seconds(
    make: Callable[[int], Limiter], hints: Hints | None = None, **options: Any
) -> Callable[[int], Outcome]:
    """Measure the time in seconds."""
    return over_least(make, hints, least=1.0, **options)


def lone_listing(told: float, latency: float) -> Callable[[int], Outcome]:
    """Measure the requests that a listing needs for one page while it is told to wait."""

    def measure(seed: int) -> Outcome:
        run = simulate(
            lambda _: Outage(0, told),
            seed,
            WHOLE_SECONDS,
            latency=latency,
            jobs=1,
            pages=1,
            concurrency=1,
        )
        return Outcome(len(run.sent), lost=run.lost_jobs + (not run.accepted))

    return measure


def others_over_none(latency: float, job: int) -> Callable[[int], Outcome]:
    """Measure the time of the other jobs when one is refused, over that without any refusal."""

    def measure(seed: int) -> Outcome:
        options: dict[str, Any] = {"latency": latency, "jobs": 300}
        free = simulate(lambda _: Unlimited(), seed, **options)
        run = simulate(lambda _: Unlimited(), seed, refused_job=job, **options)
        if len(run.done_at) < 299:
            return Outcome(math.inf)
        return Outcome(run.done_at[-1] / free.seconds)

    return measure


def back_to_normal(outage: float, start: float) -> Callable[[int], Outcome]:
    """Measure the seconds from the end of an outage until 80 % of the limit is used."""

    def measure(seed: int) -> Outcome:
        end = start + outage
        server = Simulation(Outage(start, end, TokenBucket(200, 20)), until=end + 15, seed=seed)
        client = Client(server, jobs=10**9, max_retries=math.inf)
        server.run()
        sent = [at for at in client.result.sent if start <= at <= end]
        if max(later - earlier for earlier, later in pairwise(sent)) > 5:
            return Outcome(math.inf)
        steps = (step / 10 for step in range(140))
        used = (at for at in steps if client.result.rate(end + at, end + at + 1) > 160)
        return Outcome(next(used, math.inf))

    return measure


def rate_after_dip(low: float, dip: float, high: float, latency: float) -> Callable[[int], Outcome]:
    """Measure the rate 10 s after a dip, as a share of the limit."""

    def measure(seed: int) -> Outcome:
        end = 3 + dip
        bucket = ChangingBucket(high, 20, changes=[(3.0, low), (end, high)])
        server = Simulation(bucket, latency=latency, until=end + 11.5, seed=seed)
        client = Client(server, jobs=10**9)
        server.run()
        return Outcome(client.result.rate(end + 10, end + 11) / high, lost=client.result.lost_jobs)

    return measure


@functools.cache  # two rows show a figure of the same run
def _two(rate: float, burst: int, latency: float, start: float, seed: int) -> tuple[float, float]:
    server = Simulation(TokenBucket(rate, burst), latency=latency, until=61, seed=seed)
    clients = [Client(server, jobs=10**9), Client(server, jobs=10**9, start=start)]
    server.run()
    rates = [client.result.rate(31, 61) for client in clients]
    return rates[0] / rate, rates[1] / rate


def throughput_of_two(rate: float, burst: int, latency: float) -> Callable[[int], Outcome]:
    """Measure what two clients get of one limit over 30 s, as a share of it."""
    return lambda seed: Outcome(sum(_two(rate, burst, latency, seed % 2, seed)))


def fairness_of_two(rate: float, burst: int, latency: float) -> Callable[[int], Outcome]:
    """Measure the larger share over the smaller one over 30 s."""

    def measure(seed: int) -> Outcome:
        shares = _two(rate, burst, latency, seed % 2, seed)
        return Outcome(max(shares) / min(shares))

    return measure


def over_by_hand(jobs: int) -> Callable[[int], Outcome]:
    """Measure a new client 200 ms away over one that sends all at once."""

    def measure(seed: int) -> Outcome:
        options: dict[str, Any] = {"jobs": jobs, "pages": 1, "concurrency": jobs}
        run = simulate(lambda _: Unlimited(), seed, latency=0.2, jitter=0, **options)
        # The client's own work on each request, and the round trip.
        return Outcome(run.seconds / (0.2 + jobs * 0.0002))

    return measure


def _bucket(rate: float, burst: int) -> Callable[[int], Limiter]:
    return lambda _: TokenBucket(rate, burst)


def _noise(share: float) -> Callable[[int], Limiter]:
    return lambda seed: Noise(share, seed=seed)


def _ms(latency: float) -> str:
    return f"{latency * 1000:g} ms"


LEAST = "times the least time"
SECONDS = "seconds"


def rows() -> list[Row]:
    """Return all situations."""
    return [
        *_token_buckets(),
        *_hints(),
        *_other_refusals(),
        *_changes(),
        *_several_clients(),
        *_other_limiters(),
    ]


def _token_buckets() -> Iterator[Row]:
    bucket = _bucket(200, 20)
    for latency in (0.0003, 0.001, 0.002):
        name = f"200/s, burst 20, {_ms(latency)}"
        yield Row(name, LEAST, over_least(bucket, latency=latency), 1.1, 3)
        measure = over_least(bucket, ONE_SECOND, latency=latency)
        yield Row(f"{name}, `Retry-After: 1`", LEAST, measure, 1.25, 3)
    yield Row("200/s, burst 20, 20 ms", LEAST, over_least(bucket, latency=0.02), 1.15, 6)
    name = "200/s, burst 20, 100 ms"
    yield Row(name, LEAST, over_least(bucket, latency=0.1), 1.15, 6)
    measure = over_least(bucket, ONE_SECOND, latency=0.1)
    yield Row(f"{name}, `Retry-After: 1`", LEAST, measure, 1.25, 6)
    measure = over_least(_bucket(1000, 20), latency=0.02)
    yield Row("1,000/s, burst 20, 20 ms", LEAST, measure, 1.2, 6)
    measure = over_least(_bucket(2300, 100), latency=0.02, jobs=1500)
    yield Row("2,300/s, of 2,500/s that the client can send, 20 ms", LEAST, measure, 1.2, 3)


def _hints() -> Iterator[Row]:
    for told, latency in ((4, 0.0003), (7, 0.02), (20, 0.1), (30, 0.1)):
        name = f"a listing told to wait {told} s, {_ms(latency)}"
        yield Row(name, "requests for one page", lone_listing(told, latency), 3)
    for rate, burst in ((1, 2), (2, 1), (5, 1), (10, 2), (20, 1), (50, 1), (50, 2)):
        jobs = max(20, min(200, 8 * rate))
        measure = over_least(_bucket(rate, burst), WHOLE_SECONDS, slack=2, jobs=jobs, pages=1)
        name = f"{rate}/s, burst {burst}, honest whole seconds"
        yield Row(name, "times the least time, less 2 s", measure, 1.5)
    for name, text in (("`Retry-After: 0`", 0), ("a past date", "Tue, 23 Jul 2019 20:01:17 GMT")):
        measure = seconds(lambda _: Outage(0, 0.15), Hints(retry_after=text), jobs=10, pages=1)
        yield Row(f"{name}, closed for 0.15 s", SECONDS, measure, 1)


def _other_refusals() -> Iterator[Row]:
    for share, required in ((0.02, 1.5), (0.05, 2.5), (0.2, 6.0)):
        name = f"{100 * share:g} % refused at random, 300 jobs of 3 pages"
        yield Row(name, SECONDS, seconds(_noise(share), jobs=300), required)
    for latency in (0.001, 0.02):
        name = f"one job of 300 always refused, {_ms(latency)}"
        yield Row(name, "times the time of the others", others_over_none(latency, 40), 2)


def _changes() -> Iterator[Row]:
    figure = "seconds until back to normal"
    yield Row("outage of a minute without a hint", figure, back_to_normal(60, 3), 5)
    yield Row("the same, from the start", figure, back_to_normal(60, 0), 5)
    yield Row("outage of an hour without a hint", figure, back_to_normal(3600, 0.05), 5)
    for latency in (0.001, 0.02):
        name = f"200/s, 5/s for 5 s, 200/s again, {_ms(latency)}"
        measure = rate_after_dip(5, 5, 200, latency)
        yield Row(name, "of the limit used after 10 s", measure, 0.6, is_at_least=True)


def _several_clients() -> Iterator[Row]:
    for latency in (0.001, 0.02):
        name = f"two clients on 100/s, {_ms(latency)}"
        measure = throughput_of_two(100, 10, latency)
        yield Row(name, "of the limit used in 30 s", measure, 0.9, is_at_least=True)
        yield Row(name, "larger over smaller share", fairness_of_two(100, 10, latency), 2)
    for jobs, required in ((50, 1.08), (200, 1.1)):
        name = f"new client, {jobs} callers, 200 ms"
        yield Row(name, "times sending all at once", over_by_hand(jobs), required)


def _other_limiters() -> Iterator[Row]:
    measure = over_least(lambda _: FixedWindow(100, 1.0))
    yield Row("fixed window of 100 a second", LEAST, measure, 1.3, 6)
    measure = over_least(lambda _: SlidingWindow(100, 1.0))
    yield Row("sliding window of 100 a second", LEAST, measure, 1.5, 6)
    measure = over_least(lambda _: FixedWindow(60, 60.0), jobs=110)
    yield Row("60 a minute without a hint", LEAST, measure, 1.6, 20)
    for limit, required in ((5, 1.5), (20, 1.5)):
        least = 1200 / limit * 0.02
        measure = over_least(lambda _, n=limit: Concurrency(n), least=least, service=0.02)  # type: ignore[misc]
        yield Row(f"{limit} at a time, 20 ms each", LEAST, measure, required)
    measure = over_least(lambda _: FixedWindow(100, 0.5), ANNOUNCED)
    yield Row("announced window of 100 per 0.5 s", LEAST, measure, 1.02, 0)
    measure = over_least(lambda _: FixedWindow(100, 60.0), ANNOUNCED, jobs=120)
    yield Row("announced window of 100 a minute", LEAST, measure, 1.02, 0)


def table(seeds: range) -> str:
    """Return the rows with their worst figures as a Markdown table."""
    lines = [
        "| situation | figure | required | worst | refused |",
        "|---|---|--:|--:|--:|",
    ]
    for row in rows():
        outcome = row.worst(seeds)
        sign = "≥" if row.is_at_least else "≤"
        most = "" if row.most_refused is None else f", {row.most_refused:g} %"
        lost = f", {outcome.lost} lost" if outcome.lost else ""
        mark = "" if row.is_met_by(outcome) else " **(not met)**"
        lines.append(
            f"| {row.situation} | {row.figure} | {sign} {row.required:g}{most} "
            f"| {outcome.value:.2f}{lost}{mark} | {outcome.refused:.1f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    """Write the table into `docs/pacing.md`, between its two marks."""
    page = ROOT / "docs" / "pacing.md"
    before, rest = page.read_text("utf-8").split("<!-- table -->\n")[:2]
    after = rest.split("<!-- end of table -->")[1]
    text = f"{before}<!-- table -->\n{table(HELD_BACK_SEEDS)}\n<!-- end of table -->{after}"
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
