"""Records as types in pydantic models and FastAPI routes."""

import json
from typing import Any

import pytest

pydantic = pytest.importorskip("pydantic")
fastapi = pytest.importorskip("fastapi")

from asyncckpt import FineTuningJob, FineTuningJobCheckpoint, converter  # noqa: E402

CHECKPOINT = {
    "id": "ftckpt_1",
    "created_at": 1,
    "fine_tuned_model_checkpoint": "m",
    "fine_tuning_job_id": "ftjob-1",
    "metrics": {"step": 2.0, "new_metric": 1},
    "step_number": 2,
    "object": "fine_tuning.job.checkpoint",
    "new": {"a": [1]},
}
JOB = {
    "id": "ftjob-1",
    "created_at": 1,
    "model": "m",
    "status": "running",
    "training_file": "f",
    "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.5, "new": 1}}},
    "result_files": ["a"],
}


@pytest.mark.parametrize(
    ("record_type", "fields"), [(FineTuningJobCheckpoint, CHECKPOINT), (FineTuningJob, JOB)]
)
def test_there_and_back(record_type: Any, fields: dict[str, Any]) -> None:
    adapter = pydantic.TypeAdapter(record_type)
    record = converter.structure(fields, record_type)
    assert adapter.validate_python(fields) == record
    assert adapter.validate_json(json.dumps(fields)) == record
    assert adapter.validate_python(record) is record
    assert adapter.dump_python(record) == converter.unstructure(record)
    assert json.loads(adapter.dump_json(record)) == json.loads(converter.dumps(record))


@pytest.mark.parametrize("wrong", [{}, 5, {**CHECKPOINT, "step_number": "x"}])
def test_what_is_not_a_record_is_a_validation_error(wrong: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        pydantic.TypeAdapter(FineTuningJobCheckpoint).validate_python(wrong)


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_json_schema_names_the_fields(mode: Any) -> None:
    schema = pydantic.TypeAdapter(FineTuningJobCheckpoint).json_schema(mode=mode)
    assert schema["title"] == "FineTuningJobCheckpoint"
    assert schema["properties"]["created_at"] == {"title": "Created At", "type": "integer"}
    assert set(schema["required"]) == CHECKPOINT.keys() - {
        "object",
        "metrics",
        "step_number",
        "new",
    }
    assert "full_valid_loss" in str(schema)


async def get(app: Any, path: str) -> tuple[int, Any]:
    """Request a path of an ASGI app without a server."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
        "root_path": "",
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(body)


async def test_a_route_of_fastapi_returns_records() -> None:
    app = fastapi.FastAPI()
    record = converter.structure(CHECKPOINT, FineTuningJobCheckpoint)

    @app.get("/one")
    async def one() -> FineTuningJobCheckpoint:
        return record

    @app.get("/all")
    async def all_() -> list[FineTuningJobCheckpoint]:
        return [record]

    assert await get(app, "/one") == (200, CHECKPOINT)
    assert await get(app, "/all") == (200, [CHECKPOINT])
    status, described = await get(app, "/openapi.json")
    assert status == 200
    assert "fine_tuned_model_checkpoint" in json.dumps(described)
