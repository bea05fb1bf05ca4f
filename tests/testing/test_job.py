"""One generated job: how it goes on and ends."""

import pytest

from asyncckpt.testing import Sandbox
from asyncckpt.testing.shapes import Status


@pytest.mark.parametrize("status", ["queued", "validating_files"])
def test_a_waiting_job_has_no_checkpoints_until_it_runs(status: Status) -> None:
    box = Sandbox(jobs=1, statuses=[status])
    job = box.job_ids[0]
    assert not box.checkpoints_of(job)
    box.add_checkpoint(job)
    assert len(box.checkpoints_of(job)) == 1
    assert box.jobs[0]["status"] == "running"


def test_a_running_job_grows_and_finishes() -> None:
    box = Sandbox(jobs=0)
    job = box.add_job(status="running", checkpoints=2)
    before = list(box.checkpoints_of(job))
    new = box.add_checkpoint(job)
    assert box.checkpoints_of(job) == [new, *before]
    assert box.jobs[0]["fine_tuned_model"] is None
    box.finish(job)
    assert box.jobs[0]["status"] == "succeeded"
    assert str(box.jobs[0]["fine_tuned_model"]).startswith("ft:")
    assert (box.jobs[0]["finished_at"] or 0) > new["created_at"]
    assert box.checkpoints_of(job) == [new, *before]
    with pytest.raises(ValueError, match="has finished"):
        box.add_checkpoint(job)
    with pytest.raises(ValueError, match="has finished"):
        box.finish(job)


def test_a_failed_job_has_an_error() -> None:
    box = Sandbox(jobs=1, statuses=["running"])
    with pytest.raises(ValueError, match="a job ends as"):
        box.finish(box.job_ids[0], "queued")
    box.finish(box.job_ids[0], "failed")
    assert box.jobs[0]["error"] is not None


def test_only_a_job_that_has_succeeded_has_a_result() -> None:
    box = Sandbox(jobs=3, statuses=["running"])
    for job, status in zip(box.job_ids, ("succeeded", "failed", "cancelled"), strict=True):
        box.finish(job, status)  # type: ignore[arg-type]
    succeeded, *others = box.jobs
    (file,) = succeeded["result_files"]
    assert file.startswith("file-")
    assert succeeded["trained_tokens"] == 4_096 * len(box.checkpoints_of(succeeded["id"]))
    for other in others:
        assert (other["result_files"], other["trained_tokens"]) == ([], None)
        assert other["fine_tuned_model"] is None


def test_a_job_ends_a_minute_after_its_last_step() -> None:
    box = Sandbox(jobs=1, statuses=["running"])
    job = box.job_ids[0]
    before = box.events_of(job)[0]["created_at"]
    box.finish(job)
    assert (box.jobs[0]["finished_at"] or 0) >= before + 60
    assert box.jobs[0]["estimated_finish"] is None
