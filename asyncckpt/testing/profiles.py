"""Describes how other servers differ from OpenAI's: names, order, pages, fields and credentials.

Azure, Nebius and a minimal server of one's own are described from their documentation and samples.
What is not known of a server is as at OpenAI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, cast

import attrs

__all__ = ["PROFILES", "Form", "ModelNames", "Profile", "ProfileName"]

ProfileName: TypeAlias = Literal["openai", "azure", "nebius", "minimal"]

Form: TypeAlias = Callable[[Mapping[str, object]], Mapping[str, object]]
"""Turns an object of OpenAI's API into that of another server."""

_METRICS: Final = (
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
)


def _same(record: Mapping[str, object]) -> Mapping[str, object]:
    return record


@attrs.frozen(kw_only=True)
class ModelNames:
    """The names of models, as format strings.

    Args:
        stem: What the names of a job have in common, of `base`, `suffix` and `hex`.
        checkpoint: The name of a checkpoint's model, of `stem`, `code` and `step`.
        final: The name of the job's model, of `stem` and `code`.
    """

    stem: str = "ft:{base}:acme:{suffix}"
    checkpoint: str = "{stem}:{code}:ckpt-step-{step}"
    final: str = "{stem}:{code}"


@attrs.frozen(kw_only=True)
class Profile:
    """The behaviour of one kind of server.

    Args:
        base_path: The path of the base URL.
        is_azure: Whether it is reached like Azure: only by paths below `/openai`, also with an
            `api-key` header.
        is_openai: Whether it has the paths of both OpenAI and Azure.
        checkpoint_ids: What the ids of checkpoints begin with.
        names: The names of models.
        newest_first: Whether lists begin with the newest object.
        shows_running: Whether a job has checkpoints before it ends.
        page_fields: The fields of a page besides `data`.
        sends_end: Whether `has_more` is sent on the last page, too.
        paginates: Whether `after` and `limit` are understood.
        checkpoint: The form of a checkpoint.
        job: The form of a job.
        event: The form of an event.
        error: The form of the body of an error.
    """

    base_path: str = "/v1"
    is_azure: bool = False
    is_openai: bool = False
    checkpoint_ids: str = "ftckpt_"
    names: ModelNames = ModelNames()
    newest_first: bool = True
    shows_running: bool = True
    page_fields: Sequence[str] = ("object", "has_more", "first_id", "last_id")
    sends_end: bool = True
    paginates: bool = True
    checkpoint: Form = _same
    job: Form = _same
    event: Form = _same
    error: Form = _same


def _nebius_checkpoint(checkpoint: Mapping[str, object]) -> Mapping[str, object]:
    """Add result files, and null for metrics that were not measured."""
    metrics = cast("Mapping[str, object]", checkpoint["metrics"])
    return {
        **checkpoint,
        "metrics": {**dict.fromkeys(_METRICS), **metrics},
        "result_files": [f"file-{checkpoint['id']}-{part}" for part in ("adapter", "config")],
    }


def _minimal_checkpoint(checkpoint: Mapping[str, object]) -> Mapping[str, object]:
    """Leave out what such servers do not have; some checkpoints were not evaluated."""
    metrics = cast("Mapping[str, object]", checkpoint["metrics"])
    number = cast("int", checkpoint["step_number"]) // 10
    return {
        "id": checkpoint["id"],
        "created_at": _text_of(checkpoint["created_at"]),
        "fine_tuned_model_checkpoint": checkpoint["fine_tuned_model_checkpoint"],
        "fine_tuning_job_id": checkpoint["fine_tuning_job_id"],
        "metrics": None if "full_valid_loss" not in metrics and number % 4 else metrics,
        **({"step_number": checkpoint["step_number"]} if number % 3 else {}),
    }


def _minimal_job(job: Mapping[str, object]) -> Mapping[str, object]:
    kept = ("id", "model", "status", "training_file", "fine_tuned_model", "error")
    return {
        **{name: job[name] for name in kept},
        "created_at": _text_of(job["created_at"]),
        "finished_at": _text_of(job["finished_at"]),
        "result_files": None,
    }


def _minimal_event(event: Mapping[str, object]) -> Mapping[str, object]:
    return {**event, "created_at": _text_of(event["created_at"])}


def _minimal_error(body: Mapping[str, object]) -> Mapping[str, object]:
    error = cast("Mapping[str, object]", body["error"])
    return {"detail": error["message"]}


def _text_of(time: object) -> str | None:
    """Return a time as Python's `datetime.isoformat` writes it for UTC."""
    return datetime.fromtimestamp(time, UTC).isoformat() if isinstance(time, int) else None


PROFILES: Final[Mapping[ProfileName, Profile]] = {
    "openai": Profile(is_openai=True),
    "azure": Profile(
        base_path="/openai/v1",
        is_azure=True,
        checkpoint_ids="ftchkpt-",
        names=ModelNames(
            stem="{base}.ft-{hex}", checkpoint="{stem}:ckpt-step-{step}", final="{stem}"
        ),
        shows_running=False,
        page_fields=("object", "has_more"),
    ),
    "nebius": Profile(
        newest_first=False,
        page_fields=("object", "has_more"),
        sends_end=False,
        checkpoint=_nebius_checkpoint,
    ),
    "minimal": Profile(
        checkpoint_ids="",
        names=ModelNames(
            stem="/models/{suffix}-{hex}", checkpoint="{stem}/checkpoint-{step}", final="{stem}"
        ),
        newest_first=False,
        page_fields=(),
        paginates=False,
        checkpoint=_minimal_checkpoint,
        job=_minimal_job,
        event=_minimal_event,
        error=_minimal_error,
    ),
}
"""The profiles by their names."""
