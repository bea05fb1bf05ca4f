"""Fine-tuning jobs as the API describes them; `asyncckpt.records` says what all records share.

They are imported on first use: creating these classes takes a good part of an import, and most
programs only list checkpoints.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from asyncckpt.records.base import Extra, Record, as_datetime, extra_field

__all__ = [
    "DpoHyperparameters",
    "DpoMethod",
    "Error",
    "FineTuningJob",
    "Hyperparameters",
    "Method",
    "ReinforcementHyperparameters",
    "ReinforcementMethod",
    "SupervisedHyperparameters",
    "SupervisedMethod",
    "WandbIntegration",
    "WandbIntegrationObject",
]

ALWAYS_SENT: Final = {"always_sent": True}
"""Marks a field that the API sends as ``null`` instead of leaving it out."""


@attrs.frozen
class Error(Record):
    """Why a job failed.

    Attributes:
        code: A machine-readable code.
        message: The same for people.
        param: The parameter that was invalid, usually ``training_file`` or ``validation_file``;
            None if the failure was not about one.
        extra: Fields of the API that this record does not name.
    """

    code: str | None = None
    message: str | None = None
    param: str | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    extra: Extra = extra_field()


@attrs.frozen
class Hyperparameters(Record):
    """How a supervised job trains; ``"auto"`` leaves the choice to the API.

    Attributes:
        batch_size: Examples in a batch.
        learning_rate_multiplier: Scaling of the learning rate.
        n_epochs: Passes through the training file.
        extra: Fields of the API that this record does not name.
    """

    batch_size: str | int | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    extra: Extra = extra_field()


@attrs.frozen
class SupervisedHyperparameters(Record):
    """How a supervised job trains, as part of its method.

    Attributes:
        batch_size: Examples in a batch.
        learning_rate_multiplier: Scaling of the learning rate.
        n_epochs: Passes through the training file.
        extra: Fields of the API that this record does not name.
    """

    batch_size: str | int | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    extra: Extra = extra_field()


@attrs.frozen
class DpoHyperparameters(Record):
    """How a direct preference optimization job trains; ``"auto"`` leaves the choice to the API.

    Attributes:
        batch_size: Examples in a batch.
        beta: Weight of the penalty for moving away from the reference model.
        learning_rate_multiplier: Scaling of the learning rate.
        n_epochs: Passes through the training file.
        extra: Fields of the API that this record does not name.
    """

    batch_size: str | int | None = None
    beta: str | float | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    extra: Extra = extra_field()


@attrs.frozen
class ReinforcementHyperparameters(Record):
    """How a reinforcement job trains and evaluates; ``"auto"`` leaves the choice to the API.

    Attributes:
        batch_size: Examples in a batch.
        compute_multiplier: Multiplier on the compute for exploring the search space.
        eval_interval: Training steps between evaluations.
        eval_samples: Samples made for each evaluation.
        learning_rate_multiplier: Scaling of the learning rate.
        n_epochs: Passes through the training file.
        reasoning_effort: ``"default"``, ``"low"``, ``"medium"`` or ``"high"``.
        extra: Fields of the API that this record does not name.
    """

    batch_size: str | int | None = None
    compute_multiplier: str | float | None = None
    eval_interval: str | int | None = None
    eval_samples: str | int | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    reasoning_effort: str | None = None
    extra: Extra = extra_field()


@attrs.frozen
class SupervisedMethod(Record):
    """Settings of a supervised job.

    Attributes:
        hyperparameters: How it trains.
        extra: Fields of the API that this record does not name.
    """

    hyperparameters: SupervisedHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class DpoMethod(Record):
    """Settings of a direct preference optimization job.

    Attributes:
        hyperparameters: How it trains.
        extra: Fields of the API that this record does not name.
    """

    hyperparameters: DpoHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class ReinforcementMethod(Record):
    """Settings of a reinforcement job.

    Attributes:
        grader: The API's grader object, as a dict.
        hyperparameters: How it trains.
        extra: Fields of the API that this record does not name.
    """

    grader: dict[str, object] | None = attrs.field(default=None, hash=False)
    hyperparameters: ReinforcementHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class Method(Record):
    """The method of a job; `type` says which of the three settings applies.

    Attributes:
        type: ``"supervised"``, ``"dpo"`` or ``"reinforcement"``.
        supervised: Its settings, if that is the type.
        dpo: Its settings, if that is the type.
        reinforcement: Its settings, if that is the type.
        extra: Fields of the API that this record does not name.
    """

    type: str
    supervised: SupervisedMethod | None = None
    dpo: DpoMethod | None = None
    reinforcement: ReinforcementMethod | None = None
    extra: Extra = extra_field()


@attrs.frozen
class WandbIntegration(Record):
    """Where a job reports to Weights and Biases.

    Attributes:
        project: The project that gets the run.
        name: The run's name; the job's id if None.
        entity: The team or user of the run; the API key's default if None.
        tags: Tags of the run.
        extra: Fields of the API that this record does not name.
    """

    project: str
    name: str | None = None
    entity: str | None = None
    tags: list[str] | None = attrs.field(default=None, hash=False)
    extra: Extra = extra_field()


@attrs.frozen
class WandbIntegrationObject(Record):
    """An integration of a job.

    Attributes:
        type: ``"wandb"``, the only one that the API has.
        wandb: Its settings.
        extra: Fields of the API that this record does not name.
    """

    type: str
    wandb: WandbIntegration | None = None
    extra: Extra = extra_field()


class _Requested(Record):
    """Keeps the id of the request that a record came with, beside its fields."""

    __slots__ = ("_from_request",)

    @property
    def _request_id(self) -> str | None:
        """The server's name for the request (``x-request-id``), as in the official SDK.

        None for a record of a list, and for one that was made or copied.
        """
        return getattr(self, "_from_request", None)


def with_request_id(job: FineTuningJob, request_id: str | None) -> FineTuningJob:
    """Note which request a job came with; the record stays the same."""
    object.__setattr__(job, "_from_request", request_id)
    return job


@attrs.frozen
class FineTuningJob(_Requested):
    """A fine-tuning job.

    Azure and self-hosted servers leave some fields out; those are None here.

    Attributes:
        id: The job's identifier.
        created_at: When it was created: Unix time in seconds. `created` is the same as a datetime.
        model: The base model.
        status: ``"validating_files"``, ``"queued"``, ``"running"``, ``"succeeded"``, ``"failed"``
            or ``"cancelled"``; other servers have more.
        training_file: The file it trains on.
        error: Why it failed, if it did.
        fine_tuned_model: The name of the model it made; None while it runs.
        finished_at: When it ended: Unix time in seconds; None while it runs. `finished` is the same
            as a datetime.
        trained_tokens: Billable tokens; None while it runs.
        validation_file: The file it validates on, if any.
        hyperparameters: How it trains, for supervised jobs.
        organization_id: The organization that owns it.
        result_files: Files with its results.
        seed: The seed it used.
        estimated_finish: When it is expected to end: Unix time in seconds; None if it does not run.
        integrations: Where it reports to.
        metadata: The keys and values that were attached to it.
        method: How it trains.
        object: Always ``"fine_tuning.job"``.
        extra: Fields of the API that this record does not name.
    """

    id: str
    created_at: int
    model: str
    status: str
    training_file: str
    error: Error | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    fine_tuned_model: str | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    finished_at: int | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    trained_tokens: int | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    validation_file: str | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    hyperparameters: Hyperparameters | None = None
    organization_id: str | None = None
    result_files: list[str] = attrs.field(factory=list[str], hash=False)
    seed: int | None = None
    estimated_finish: int | None = None
    integrations: list[WandbIntegrationObject] | None = attrs.field(default=None, hash=False)
    metadata: dict[str, str] | None = attrs.field(default=None, hash=False)
    method: Method | None = None
    object: str = "fine_tuning.job"
    extra: Extra = extra_field()

    @property
    def created(self) -> datetime:
        """`created_at` as an aware datetime in UTC."""
        return as_datetime(self.created_at)

    @property
    def finished(self) -> datetime | None:
        """`finished_at` as an aware datetime in UTC; None while the job runs."""
        return None if self.finished_at is None else as_datetime(self.finished_at)


@attrs.frozen
class ListPaginatedFineTuningJobsResponse(Record):
    """The body of a page of jobs.

    Attributes:
        data: The jobs.
        has_more: Whether there are more; None if the server does not say.
        first_id: The id of the first job; not documented, but often sent.
        last_id: The id of the last job; not documented, but often sent.
        object: Always ``"list"``.
        extra: Fields of the API that this record does not name.
    """

    data: list[FineTuningJob]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()
