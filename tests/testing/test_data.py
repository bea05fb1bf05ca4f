"""The generated jobs."""

from asyncckpt.testing import Sandbox
from asyncckpt.testing.data import METHODS


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
