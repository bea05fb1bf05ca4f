"""The generated checkpoints."""

import itertools

import aiohttp
import pytest

from asyncckpt.testing import Sandbox

from support.browser import Browser


@pytest.mark.parametrize("seed", range(5))
def test_losses_fall_and_overfit(seed: int) -> None:
    box = Sandbox(jobs=6, checkpoints=40, seed=seed, statuses=["succeeded"])
    for job in box.job_ids:
        metrics = [record["metrics"] for record in reversed(box.checkpoints_of(job))]
        train = [metric["train_loss"] for metric in metrics]
        valid = [metric["valid_loss"] for metric in metrics]
        assert train[-1] < 0.6 * train[0]
        best = valid.index(min(valid))
        assert 10 < best < 39
        assert min(valid) < 0.7 * valid[0]
        assert valid[-1] > 1.15 * min(valid)
        full = [metric for metric in metrics if "full_valid_loss" in metric]
        assert 2 < len(full) < 10
        assert "full_valid_loss" in metrics[-1]


def test_checkpoints_are_newest_first_by_time_and_by_step() -> None:
    box = Sandbox(jobs=3, checkpoints=50)
    for job in box.jobs:
        records = list(box.checkpoints_of(job["id"]))
        for field in ("created_at", "step_number"):
            values = [record[field] for record in records]
            assert all(newer > older for newer, older in itertools.pairwise(values))
        assert records[-1]["created_at"] > job["created_at"]
        name = records[0]["fine_tuned_model_checkpoint"]
        assert name.startswith(f"ft:{job['model']}:acme:")
        assert name.endswith(f":ckpt-step-{records[0]['step_number']}")


async def test_a_million_checkpoints_can_be_read() -> None:
    box = Sandbox(jobs=1, checkpoints=1_000_000)
    records = box.checkpoints_of(box.job_ids[0])
    assert len(records) == 1_000_000
    assert records[-1]["metrics"]["step"] == records[-1]["step_number"]
    assert records[999_999] == records[-1]
    async with box, aiohttp.ClientSession() as session:
        page = await Browser(box, session).page(after=records[654_320]["id"], limit=3)
    assert page["data"] == records[654_321:654_324]
    with pytest.raises(IndexError):
        records[1_000_000]


def test_without_validation_there_are_no_validation_metrics() -> None:
    box = Sandbox(jobs=0)
    job = box.add_job(validation=False, method="supervised", checkpoints=3)
    for record in box.checkpoints_of(job):
        assert record["metrics"].keys() == {"step", "train_loss", "train_mean_token_accuracy"}
    assert box.jobs[0]["validation_file"] is None


def test_checkpoints_compare_and_show_without_their_records() -> None:
    box = Sandbox(jobs=1, checkpoints=3)
    records = box.checkpoints_of(box.job_ids[0])
    assert records == list(records)
    assert records != list(records)[1:]
    assert records != 3
    assert repr(records) == f"<Checkpoints of {box.job_ids[0]}: 3>"
