"""The generated jobs."""

import pytest

from asyncckpt.testing import Sandbox
from asyncckpt.testing.data import METHODS
from asyncckpt.testing.shapes import Status


def test_the_seed_decides_the_data() -> None:
    one, same, other = Sandbox(seed=1), Sandbox(seed=1), Sandbox(seed=2)
    assert one.jobs == same.jobs
    assert one.checkpoints_of(one.job_ids[4]) == same.checkpoints_of(one.job_ids[4])
    assert not set(one.job_ids) & set(other.job_ids)


def test_the_newest_job_is_supervised_and_has_succeeded() -> None:
    for jobs in (1, 2, 12):
        newest = Sandbox(jobs=jobs).jobs[0]
        assert (newest["status"], newest["method"]["type"]) == ("succeeded", "supervised")
        assert newest["created_at"] == max(job["created_at"] for job in Sandbox(jobs=jobs).jobs)


def test_every_job_has_the_requested_number_of_checkpoints() -> None:
    box = Sandbox(jobs=21, checkpoints=4)
    assert [len(box.checkpoints_of(job)) for job in box.job_ids] == [4] * 21
    kinds = {(job["method"]["type"], job["status"]) for job in box.jobs}
    assert kinds == {
        (m, s) for m in METHODS for s in ("succeeded", "running", "cancelled", "failed")
    }
    ids = [record["id"] for job in box.job_ids for record in box.checkpoints_of(job)]
    assert len(set(ids)) == 84


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
