"""Path templates of the URLs of calls."""

import pytest

from asyncckpt.protocol.templates import path_template

JOB = "{fine_tuning_job_id}"


@pytest.mark.parametrize(
    ("path", "template", "job"),
    [
        ("/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs", None),
        ("/v1/fine_tuning/jobs?limit=1", "/v1/fine_tuning/jobs", None),
        ("/v1/fine_tuning/jobs/ftjob-1", f"/v1/fine_tuning/jobs/{JOB}", "ftjob-1"),
        (
            "/v1/fine_tuning/jobs/ftjob-1/checkpoints?after=ftckpt_1",
            f"/v1/fine_tuning/jobs/{JOB}/checkpoints",
            "ftjob-1",
        ),
        ("/openai/fine_tuning/jobs/a%20b/events", f"/openai/fine_tuning/jobs/{JOB}/events", "a b"),
        ("/v1/files/file-1/content", "/v1/files/{file_id}/content", None),
        ("/elsewhere", "/elsewhere", None),
    ],
)
def test_ids_become_names(path: str, template: str, job: str | None) -> None:
    assert path_template(f"https://h:1{path}") == (template, job)
