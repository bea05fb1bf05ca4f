"""Defines the records of fine-tuning jobs.

The package imports this module on first use: creating the classes is slow, and most programs only
list checkpoints.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from asyncckpt.records.base import Extra, Record, extra_field
from asyncckpt.records.forms import NULL, TEXT_TIME, datetime_of

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
"""Metadata of a field that the API always sends, as ``null`` if it has no value."""


@attrs.frozen
class Error(Record):
    """Why a job failed.

    Attributes:
        code: A machine-readable error code.
        message: A human-readable error message.
        param: The invalid parameter, usually ``training_file`` or ``validation_file``; None if the
            failure is not about a parameter.
        extra: Fields that this record does not define.
    """

    code: str | None = None
    message: str | None = None
    param: str | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    extra: Extra = extra_field()


@attrs.frozen
class Hyperparameters(Record):
    """The hyperparameters of a supervised job; ``"auto"`` leaves a value to the API.

    Attributes:
        batch_size: Examples in a batch.
        learning_rate_multiplier: Scaling of the learning rate.
        n_epochs: Passes through the training file.
        extra: Fields that this record does not define.
    """

    batch_size: str | int | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    extra: Extra = extra_field()


@attrs.frozen
class SupervisedHyperparameters(Record):
    """The hyperparameters in the method of a supervised job; ``"auto"`` leaves a value to the API.

    Attributes:
        batch_size: Examples in a batch.
        learning_rate_multiplier: Scaling of the learning rate.
        n_epochs: Passes through the training file.
        extra: Fields that this record does not define.
    """

    batch_size: str | int | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    extra: Extra = extra_field()


@attrs.frozen
class DpoHyperparameters(Record):
    """The hyperparameters of a direct preference optimization (DPO) job.

    ``"auto"`` leaves a value to the API.

    Attributes:
        batch_size: Examples in a batch.
        beta: The weight of the penalty between the policy and the reference model.
        learning_rate_multiplier: Scaling of the learning rate.
        n_epochs: Passes through the training file.
        extra: Fields that this record does not define.
    """

    batch_size: str | int | None = None
    beta: str | float | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    extra: Extra = extra_field()


@attrs.frozen
class ReinforcementHyperparameters(Record):
    """The hyperparameters of a reinforcement job; ``"auto"`` leaves a value to the API.

    Attributes:
        batch_size: Examples in a batch.
        compute_multiplier: Multiplier on the compute for exploring the search space.
        eval_interval: Training steps between evaluations.
        eval_samples: Samples generated in each evaluation.
        learning_rate_multiplier: Scaling of the learning rate.
        n_epochs: Passes through the training file.
        reasoning_effort: ``"default"``, ``"low"``, ``"medium"`` or ``"high"``.
        extra: Fields that this record does not define.
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
    """The settings of a supervised job.

    Attributes:
        hyperparameters: The hyperparameters.
        extra: Fields that this record does not define.
    """

    hyperparameters: SupervisedHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class DpoMethod(Record):
    """The settings of a direct preference optimization (DPO) job.

    Attributes:
        hyperparameters: The hyperparameters.
        extra: Fields that this record does not define.
    """

    hyperparameters: DpoHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class ReinforcementMethod(Record):
    """The settings of a reinforcement job.

    Attributes:
        grader: The grader, as a dict with the fields of the API.
        hyperparameters: The hyperparameters.
        extra: Fields that this record does not define.
    """

    grader: dict[str, object] | None = attrs.field(default=None, hash=False)
    hyperparameters: ReinforcementHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class Method(Record):
    """The fine-tuning method of a job, and its settings.

    Attributes:
        type: ``"supervised"``, ``"dpo"`` or ``"reinforcement"``.
        supervised: The settings if `type` is ``"supervised"``; otherwise None.
        dpo: The settings if `type` is ``"dpo"``; otherwise None.
        reinforcement: The settings if `type` is ``"reinforcement"``; otherwise None.
        extra: Fields that this record does not define.
    """

    type: str
    supervised: SupervisedMethod | None = None
    dpo: DpoMethod | None = None
    reinforcement: ReinforcementMethod | None = None
    extra: Extra = extra_field()


@attrs.frozen
class WandbIntegration(Record):
    """The settings of the integration with Weights and Biases.

    Attributes:
        project: The project in which the run is created.
        name: The name of the run; None for the id of the job.
        entity: The team or user of the run; None for the default of the Weights and Biases key.
        tags: The tags of the run.
        extra: Fields that this record does not define.
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
        type: ``"wandb"``, the only integration of the API.
        wandb: The settings of the integration.
        extra: Fields that this record does not define.
    """

    type: str
    wandb: WandbIntegration | None = None
    extra: Extra = extra_field()


class _HasRequestId(Record):
    """Base class of a record that also has the id of its request, which is not a field."""

    __slots__ = ("_from_request",)

    @property
    def _request_id(self) -> str | None:
        """The server's id for the request (``x-request-id``), as in the official SDK.

        It is None unless the record is the direct result of `AsyncJobs.retrieve`.
        """
        return getattr(self, "_from_request", None)


def with_request_id(job: FineTuningJob, request_id: str | None) -> FineTuningJob:
    """Set the request id of a job, and return the same job."""
    object.__setattr__(job, "_from_request", request_id)
    return job


@attrs.frozen
class FineTuningJob(_HasRequestId):
    """A fine-tuning job.

    API reference: *The fine-tuning job object*. Fields that a server leaves out, as Azure and
    self-hosted servers do, are None.

    Attributes:
        id: The identifier of the job.
        created_at: The creation time, in Unix seconds; see also `created`.
        model: The base model.
        status: ``"validating_files"``, ``"queued"``, ``"running"``, ``"succeeded"``, ``"failed"``
            or ``"cancelled"``; other servers also use other values.
        training_file: The id of the training file.
        error: Why the job failed; None if it did not fail.
        fine_tuned_model: The name of the fine-tuned model; None while the job runs.
        finished_at: The time at which the job ended, in Unix seconds; None while it runs. See also
            `finished`.
        trained_tokens: The number of billable tokens; None while the job runs.
        validation_file: The id of the validation file; None if there is no such file.
        hyperparameters: The hyperparameters of a supervised job.
        organization_id: The organization that owns the job.
        result_files: The ids of the result files.
        seed: The random seed of the job.
        estimated_finish: The estimated end, in Unix seconds; None if the job is not running.
        integrations: The integrations of the job.
        metadata: The keys and values that were attached to the job.
        method: The fine-tuning method.
        object: Always ``"fine_tuning.job"``.
        extra: Fields that this record does not define.
    """

    id: str
    created_at: int = attrs.field(metadata=TEXT_TIME)
    model: str
    status: str
    training_file: str
    error: Error | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    fine_tuned_model: str | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    finished_at: int | None = attrs.field(default=None, metadata=ALWAYS_SENT | TEXT_TIME)
    trained_tokens: int | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    validation_file: str | None = attrs.field(default=None, metadata=ALWAYS_SENT)
    hyperparameters: Hyperparameters | None = None
    organization_id: str | None = None
    result_files: list[str] = attrs.field(factory=list[str], hash=False, metadata=NULL)
    seed: int | None = None
    estimated_finish: int | None = attrs.field(default=None, metadata=TEXT_TIME)
    integrations: list[WandbIntegrationObject] | None = attrs.field(default=None, hash=False)
    metadata: dict[str, str] | None = attrs.field(default=None, hash=False)
    method: Method | None = None
    object: str = "fine_tuning.job"
    extra: Extra = extra_field()

    @property
    def created(self) -> datetime:
        """`created_at` as an aware datetime in UTC."""
        return datetime_of(self, "created_at")

    @property
    def finished(self) -> datetime | None:
        """`finished_at` as an aware datetime in UTC; None while the job runs."""
        return None if self.finished_at is None else datetime_of(self, "finished_at")


@attrs.frozen
class ListPaginatedFineTuningJobsResponse(Record):
    """The body of a page of jobs.

    Attributes:
        data: The jobs.
        has_more: Whether there are more jobs; None if the server did not send it.
        first_id: The id of the first job; not documented, but sent by many servers.
        last_id: The id of the last job; not documented, but sent by many servers.
        object: Always ``"list"``.
        extra: Fields that this record does not define.
    """

    data: list[FineTuningJob]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()
