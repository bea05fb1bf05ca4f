"""Faults of the fields of a JSON body."""

import json
from typing import Any

import pytest

from asyncckpt.testing import Sandbox, faults

from support.browser import Browser, checkpoints_path


async def test_faults_do_not_change_responses_they_do_not_apply_to(
    box: Sandbox, browser: Browser
) -> None:
    box.inject(faults.EmptyPage(), faults.CyclingCursor(), times=None, path=box.job_ids[0])
    job = await browser.get(f"/v1/fine_tuning/jobs/{box.job_ids[0]}")
    assert job.json == box.jobs[0]
    box.inject(
        faults.RawBody(b"{}"), faults.SetField("a.b", 1), faults.SetField("c", 1), times=None
    )
    assert (await browser.get("/v1/fine_tuning/jobs")).body == b"{}"


@pytest.mark.parametrize(
    ("path", "value", "look"),
    [
        ("has_more", "yes", lambda page: page["has_more"] == "yes"),
        ("data", None, lambda page: page["data"] is None),
        ("data.0.metrics", None, lambda page: page["data"][0]["metrics"] is None),
        ("data.-1.id", 7, lambda page: [r["id"] == 7 for r in page["data"]].index(True) == 9),
        (
            "data.*.metrics.valid_loss",
            None,
            lambda page: not page["data"][5]["metrics"]["valid_loss"],
        ),
        ("data.*.colour", "blue", lambda page: all(r["colour"] == "blue" for r in page["data"])),
        ("data.99", 1, lambda page: len(page["data"]) == 10),
        ("data.0.*.colour", "blue", lambda page: page["data"][0]["metrics"]["colour"] == "blue"),
        ("has_more.first", 1, lambda page: page["has_more"] is True),
        ("data.*.metrics.step.first", 1, lambda page: page["data"][0]["metrics"]["step"] > 0),
    ],
)
async def test_a_field_is_set(
    box: Sandbox, browser: Browser, path: str, value: object, look: Any
) -> None:
    box.inject(faults.SetField(path, value))
    assert look(await browser.page())
    assert box.checkpoints_of(box.job_ids[0]) == (await browser.page(limit=100))["data"]


async def test_fields_are_dropped_and_duplicated(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.DropField("last_id"), faults.DropField("data.*.created_at"))
    page = await browser.page()
    assert "last_id" not in page
    assert all("created_at" not in record for record in page["data"])
    box.inject(faults.DropField("data.*"))
    assert (await browser.page())["data"] == []
    box.inject(faults.DuplicateField("has_more", "no"))
    body = (await browser.get(checkpoints_path(box))).body
    assert body.count(b'"has_more"') == 2
    assert json.loads(body)["has_more"] is True


async def test_a_fault_does_not_change_the_data(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.SetField("status", "lost"))
    path = f"/v1/fine_tuning/jobs/{box.job_ids[0]}"
    assert (await browser.get(path)).json["status"] == "lost"
    assert (await browser.get(path)).json == box.jobs[0]
