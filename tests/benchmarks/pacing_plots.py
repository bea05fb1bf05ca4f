"""Draw what the pacer does in front of each kind of limiter, into `docs/pacing-*.svg`.

Needs matplotlib. Run it from anywhere:

    python tests/benchmarks/pacing_plots.py [--format svg|png] [folder]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from asyncckpt.testing.limiters import (  # noqa: E402
    Concurrency,
    FixedWindow,
    Hints,
    Limiter,
    SlidingWindow,
    TokenBucket,
)

from support.limiters import ChangingBucket, Noise  # noqa: E402
from support.simulation import Client, Run, Simulation  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEP = 0.1
# Mid-tone colours, and no background: readable on a light page and on a dark one.
INK, SENT, ACCEPTED, REFUSED = "#7d8590", "#4f8ef7", "#2da44e", "#e5534b"


@attrs.frozen
class Scene:
    """One picture: a limiter, and what else the simulation is told."""

    name: str
    title: str
    limiter: Callable[[], Limiter]
    hints: Hints | None = None
    service: float = 0.0
    jobs: int = 400


SCENES = [
    Scene(
        "token-bucket",
        "Token bucket: 200/s, burst 20, Retry-After: 1 on each refusal",
        lambda: TokenBucket(200, 20),
        hints=Hints(retry_after=1),
    ),
    Scene(
        "raised",
        "Token bucket: 200/s, from 3 s on 400/s",
        lambda: ChangingBucket(200, 20, changes=[(3.0, 400.0)]),
        jobs=800,
    ),
    Scene(
        "lowered",
        "Token bucket: 200/s, from 3 s on 100/s",
        lambda: ChangingBucket(200, 20, changes=[(3.0, 100.0)]),
    ),
    Scene(
        "dip",
        "Token bucket: 200/s, from 3 s to 8 s only 5/s",
        lambda: ChangingBucket(200, 20, changes=[(3.0, 5.0), (8.0, 200.0)]),
        jobs=600,
    ),
    Scene("fixed-window", "Fixed window: 100 in each second", lambda: FixedWindow(100, 1.0)),
    Scene("sliding-window", "Sliding window: 100 in any second", lambda: SlidingWindow(100, 1.0)),
    Scene(
        "concurrency",
        "Concurrency limit: 8 at a time, 20 ms each",
        lambda: Concurrency(8),
        service=0.02,
    ),
    Scene("noise", "No limit, but 10 % refused at random", lambda: Noise(0.1), jobs=2000),
]


def main() -> None:
    """Draw all scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs")
    parser.add_argument("--format", choices=["svg", "png"], default="svg")
    arguments = parser.parse_args()
    # Fixed ids and no date: the same runs give the same files.
    mpl.rcParams.update({"svg.hashsalt": "asyncckpt", "svg.fonttype": "none", "font.size": 9})
    for scene in SCENES:
        target = arguments.folder / f"pacing-{scene.name}.{arguments.format}"
        draw(scene, target)
        print(target)  # noqa: T201


def draw(scene: Scene, target: Path) -> None:
    """Draw one scene."""
    server = Simulation(scene.limiter(), scene.hints, service=scene.service)
    client = Client(server, jobs=scene.jobs)
    server.run()
    run = client.result
    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    draw_run(axes, run)
    refused = 100 * run.share_refused
    axes.set_title(
        f"{scene.title}\n{len(run.accepted)} requests in {run.seconds:.2f} s, "
        f"{refused:.1f} % refused",
        color=INK,
        fontsize=9,
    )
    metadata = {"Date": None} if target.suffix == ".svg" else None
    figure.savefig(target, transparent=True, metadata=metadata, dpi=110)
    plt.close(figure)


def draw_run(axes: Axes, run: Run) -> None:
    """Draw sent, accepted and refused requests for each step of time."""
    steps = int(run.seconds / STEP) + 1
    edges = [step * STEP for step in range(steps + 1)]
    for times, colour, label in [
        (run.sent, SENT, "sent"),
        (run.accepted, ACCEPTED, "accepted"),
        (run.refused, REFUSED, "refused"),
    ]:
        counts = [0] * steps
        for at in times:
            counts[min(int(at / STEP), steps - 1)] += 1
        width, alpha = (2.2, 0.55) if label == "sent" else (1.2, 1.0)
        axes.stairs(
            counts, edges, color=colour, label=label, baseline=None, linewidth=width, alpha=alpha
        )
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"requests per {STEP * 1000:.0f} ms")
    # Room above the curves for the legend.
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.set_xlim(0, edges[-1])
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.tick_params(colors=INK)
    axes.grid(color=INK, alpha=0.2, linewidth=0.5)
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_alpha(0.5)
    axes.legend(frameon=False, labelcolor=INK, ncols=3, loc="upper right", fontsize=8)


if __name__ == "__main__":
    main()
