"""Plots of made-up jobs."""

from asyncckpt.export import JobPlot, Plot
from asyncckpt.export.thinning import Point


def valley(job: str, *, lowest: float = 0.5, curve: str = "valid_loss") -> JobPlot:
    """Return a job whose loss falls until step 500, and rises afterwards."""

    def at(step: int) -> Point:
        return step, lowest + abs(step - 500) / 500

    line = tuple(at(step) for step in range(0, 1001, 10))
    checkpoints = tuple(at(step) for step in range(0, 1001, 100))
    return JobPlot(job, {curve: (line,)}, checkpoints, at(500))


def plot_of(*jobs: JobPlot, metric: str = "valid_loss") -> Plot:
    return Plot(metric, "min", jobs)
