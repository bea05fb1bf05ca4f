"""The checkpoints that the server sends, as bytes.

The id of a job contains the number of its checkpoints, and the id of a checkpoint its job and its
index, so that the server stores nothing.
"""

from __future__ import annotations

import functools
import json
import random
from typing import Final

# A placeholder for the number of a job and the first record of a page, of the same length.
_PAGE: Final = "@JOB@@@START@@@"


def job_id(number: int, records: int) -> str:
    """Return the id of a job with a number of checkpoints."""
    return f"ftjob-{number:06d}x{records}"


def parse_job_id(job: str) -> tuple[int, int]:
    """Return the number of a job, and the number of its checkpoints."""
    number, records = job.removeprefix("ftjob-").split("x")
    return int(number), int(records)


def index_of(checkpoint_id: str) -> int:
    """Return the index of a checkpoint in the list of its job."""
    return int(checkpoint_id[13:22]) + int(checkpoint_id[22:31])


def id_at(job: str, index: int) -> str:
    """Return an id for which `index_of` returns that index."""
    number, _ = parse_job_id(job)
    return f"ftckpt_{number:06d}{index:09d}{0:09d}"


def page_body(job: str, start: int, limit: int) -> bytes:
    """Return the page of a job that starts at a record."""
    number, records = parse_job_id(job)
    count = max(0, min(limit, records - start))
    return (b"%06d%09d" % (number, start)).join(_parts(count, start + count < records, job))


@functools.lru_cache(maxsize=1024)
def _parts(count: int, has_more: bool, job: str) -> list[bytes]:
    template = _template(count, has_more, len(job))
    return template.replace(b"~" * len(job), job.encode()).split(_PAGE.encode())


@functools.cache
def _template(count: int, has_more: bool, job_id_length: int) -> bytes:
    data = [_checkpoint(i, "~" * job_id_length) for i in range(count)]
    page = {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
    return json.dumps(page).encode()


def _checkpoint(i: int, job: str) -> dict[str, object]:
    draw = random.Random(i)
    loss, accuracy = draw.uniform(0.1, 2.0), draw.uniform(0.3, 0.99)
    step = 10 * (i + 1)
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": f"ftckpt_{_PAGE}{i:09d}",
        "created_at": 1_721_764_867 + 60 * i,
        "fine_tuned_model_checkpoint": (
            f"ft:gpt-4o-mini-2024-07-18:my-org:custom-suffix:{draw.getrandbits(40):010x}"
            f":ckpt-step-{step}"
        ),
        "fine_tuning_job_id": job,
        "metrics": {
            "step": step,
            "train_loss": round(loss, 4),
            "train_mean_token_accuracy": round(accuracy, 5),
            "valid_loss": round(loss * 1.1, 4),
            "valid_mean_token_accuracy": round(accuracy * 0.98, 5),
            "full_valid_loss": round(loss * 1.15, 4),
            "full_valid_mean_token_accuracy": round(accuracy * 0.97, 5),
        },
        "step_number": step,
    }
