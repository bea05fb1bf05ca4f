"""Implements `asyncckpt best`."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TextIO

import attrs

from asyncckpt.cli.logs import logged
from asyncckpt.cli.output import Column, TableWriter, Writer, shown_time
from asyncckpt.cli.status import StatusLine
from asyncckpt.cli.terminal import UsageError, print_error, print_to_stderr, printable
from asyncckpt.cli.writing import ToleratedFailures, counted, example_of, status_line
from asyncckpt.errors import APIError, NotFoundError

if TYPE_CHECKING:
    from asyncckpt import AsyncClient, Explanation, FineTuningJobCheckpoint, Pager, Ranked
    from asyncckpt.streams.criteria import Mode
    from asyncckpt.streams.fanin import FanIn
    from asyncckpt.testing import Sandbox

__all__ = ["Choice", "NameWriter", "write_explained"]

_SHOWN_UNRANKED: Final = 3
_MAX_TEXT_WIDTH: Final = 100


@attrs.define(kw_only=True)
class Choice:
    """The arguments of `asyncckpt best`.

    Args:
        job_ids: The ids of the jobs.
        all_jobs: Choose from every job of the account instead.
        metric: The metric to rank by; None for the first that every job has.
        mode: Whether the lowest or the highest value is the best; None for what the name says.
        count: How many checkpoints to choose.
        concurrency: The number of jobs to list at the same time.
        verbose: Whether to write the log to standard error.
        failed: The number of jobs that could not be listed.
    """

    job_ids: Sequence[str]
    all_jobs: bool = False
    metric: str | None
    mode: Mode | None
    count: int
    concurrency: int
    verbose: bool = False
    failed: int = attrs.field(init=False, default=0)

    async def write_to_stdout(self, client: AsyncClient, sandbox: Sandbox | None) -> None:
        """Write the best checkpoints to standard output.

        A terminal gets a table and an explanation, other outputs get the names of the models.

        If one of several jobs cannot be listed, this writes the error to standard error, and ranks
        the checkpoints of the other jobs.

        Args:
            client: The client to list with.
            sandbox: The sandbox that it is connected to, if any. Without job ids, this chooses one
                job of the sandbox.

        Raises:
            UsageError: An argument is invalid.
            NoCheckpointError: Nothing can be ranked.
            APIError: The only job cannot be listed, or the server rejects the API key.
            OSError: Writing to standard output failed.
        """
        if sandbox is None or self.job_ids or self.all_jobs:
            await self._write(client)
            return
        self.job_ids = [example_of(sandbox)]
        await self._write(client)
        print_to_stderr(
            f"This is one of {len(sandbox.job_ids)} jobs of the sandbox. All of them:\n"
            "asyncckpt best --sandbox --all\n"
        )

    async def _write(self, client: AsyncClient) -> None:
        ranking = await self._ranking(client)
        if sys.stdout.isatty():
            write_explained(ranking, await self._explanation(client, ranking[0]), sys.stdout)
            return
        names = NameWriter(sys.stdout)
        for ranked in ranking:
            names.write(ranked)
        if ranking[0].unranked:
            print_to_stderr(f"asyncckpt: {printable(_not_ranked(ranking[0]))}\n")

    async def _ranking(self, client: AsyncClient) -> list[Ranked]:
        line = status_line("checkpoint")
        failures = ToleratedFailures(line)
        checkpoints = client.fine_tuning.jobs.checkpoints
        try:
            stream = self._stream(client, line, failures)
            ranking = checkpoints.top(
                counted(stream, line), self.count, metric=self.metric, mode=self.mode
            )
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None
        async with stream:
            with logged(line, verbose=self.verbose), line:
                try:
                    return await ranking
                finally:
                    self.failed = failures.count

    async def _explanation(self, client: AsyncClient, best: Ranked) -> Explanation:
        line = status_line("step")
        try:
            curve = client.fine_tuning.jobs.step_metrics(best.checkpoint.fine_tuning_job_id)
            async with curve:
                with logged(line, verbose=self.verbose), line:
                    return await best.explain(counted(curve, line))
        except NotFoundError:
            # Not every server has events and files.
            return best.explain()
        except (APIError, ValueError) as error:
            print_error(APIError(f"without the training curve: {error}"))
            return best.explain()

    def _stream(
        self, client: AsyncClient, line: StatusLine, failures: ToleratedFailures
    ) -> Pager[FineTuningJobCheckpoint] | FanIn[FineTuningJobCheckpoint]:
        jobs = client.fine_tuning.jobs
        if len(self.job_ids) == 1:
            return jobs.checkpoints.list(self.job_ids[0], on_expired_cursor="restart")
        stream = jobs.checkpoints.list_many(
            jobs.list(on_expired_cursor="restart") if self.all_jobs else self.job_ids,
            concurrency=self.concurrency,
            on_error=failures,
            on_expired_cursor="restart",
        )
        line.follow(stream, None if self.all_jobs else len(self.job_ids))
        return stream


class NameWriter(Writer["Ranked"]):
    """Writes the names of the models, one per line."""

    def _put(self, record: Ranked) -> None:
        self.out.write(f"{printable(record.checkpoint.fine_tuned_model_checkpoint)}\n")


def write_explained(ranking: Sequence[Ranked], explanation: Explanation, out: TextIO) -> None:
    """Write the ranking as a table, an explanation of the first, and the name of its model.

    Args:
        ranking: The ranking, not empty.
        explanation: The explanation of the first.
        out: The output.

    Raises:
        OSError: Writing failed.
    """
    best = ranking[0]
    order = "lowest" if best.mode == "min" else "highest"
    table = TableWriter(out, _columns(best), lambda ranked: f"{ranked.metric}, the {order} first")
    for ranked in ranking:
        table.write(ranked)
    out.write("\n")
    width = min(table.width, _MAX_TEXT_WIDTH)
    for text in (str(explanation), _not_ranked(best) if best.unranked else ""):
        # Words are not broken, so that names can be copied.
        lines = textwrap.wrap(
            printable(text), width, break_long_words=False, break_on_hyphens=False
        )
        out.writelines(f"{line}\n" for line in lines)
    out.write("\n")
    NameWriter(out).write(best)


def _columns(best: Ranked) -> tuple[Column[Ranked], ...]:
    title = printable(best.metric)
    return (
        Column("RANK", 4, lambda ranked: str(ranked.rank), right=True),
        Column("STEP", 6, lambda ranked: _step(ranked.checkpoint), right=True),
        Column(title, max(len(title), 10), lambda ranked: f"{ranked.value:.6g}", right=True),
        Column("JOB", 30, lambda ranked: printable(ranked.checkpoint.fine_tuning_job_id)),
        Column("RISE", 4, lambda ranked: _ratio(ranked.explain().last_over_lowest), right=True),
        Column(
            "GAP", 4, lambda ranked: _ratio(ranked.explain().validation_over_training), right=True
        ),
        Column("CREATED (UTC)", 16, lambda ranked: shown_time(ranked.checkpoint.created_at)),
        Column(
            "MODEL", 64, lambda ranked: printable(ranked.checkpoint.fine_tuned_model_checkpoint)
        ),
    )


def _step(checkpoint: FineTuningJobCheckpoint) -> str:
    return "-" if checkpoint.step_number is None else str(checkpoint.step_number)


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _not_ranked(best: Ranked) -> str:
    jobs = best.unranked
    shown = ", ".join(jobs[:_SHOWN_UNRANKED])
    rest = len(jobs) - _SHOWN_UNRANKED
    others = f" and {rest} other{'s' * (rest != 1)}" if rest > 0 else ""
    return f"Not ranked, without a measured {best.metric}: {shown}{others}."
