"""The API's objects, as frozen attrs records with slots.

Names, types and meaning follow the API reference's fine-tuning objects. What the API calls
optional, or may send as ``null``, is None here. A field that this version does not know is kept in
`.extra`, whichever object it comes in, so it is within reach the day the API adds it.

A record is compared by all its fields, and hashed by those that cannot change.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import attrs

__all__ = [
    "DpoHyperparameters",
    "DpoMethod",
    "Error",
    "Extra",
    "FineTuningJob",
    "FineTuningJobCheckpoint",
    "Hyperparameters",
    "Method",
    "Metrics",
    "ReinforcementHyperparameters",
    "ReinforcementMethod",
    "SupervisedHyperparameters",
    "SupervisedMethod",
    "WandbIntegration",
    "WandbIntegrationObject",
    "extra_field",
]


class Extra(dict[str, builtins.object]):
    """The fields of an API object that its record does not name: a dict that cannot be changed."""

    __slots__ = ()

    def _refuse(self, *_: builtins.object, **__: builtins.object) -> NoReturn:
        msg = "the extra fields of a record cannot be changed; attrs.evolve() makes a changed copy"
        raise TypeError(msg)

    if not TYPE_CHECKING:  # to a type checker it is the dict that it is for every reader
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[Extra], tuple[dict[str, builtins.object]]]:
        return Extra, (dict(self),)


ALWAYS_SENT: Final = {"always_sent": True}
"""The mark of a field that the API sends as ``null`` rather than leave it out."""

NO_EXTRA: Final = Extra()
"""One for all: nearly every record has none."""


def _frozen_extra(fields: Mapping[str, builtins.object]) -> Extra:
    return fields if isinstance(fields, Extra) else Extra(fields)


def extra_field() -> Extra:
    """The attrs field that keeps what a record class does not name; for your own record classes.

    Returns:
        A field to be assigned to ``extra: Extra``; the name must be ``extra``.
        `asyncckpt.converter` then keeps unknown keys in it, and writes them back.
    """
    field: Extra = attrs.field(default=NO_EXTRA, converter=_frozen_extra, kw_only=True, hash=False)
    return field


def _aware(unixtime: int) -> datetime:
    return datetime.fromtimestamp(unixtime, UTC)


@attrs.frozen
class Metrics:
    """What was measured at a checkpoint's step. A metric that was not measured is None.

    Attributes:
        step: The step, as a number.
        train_loss: Loss on the training batch.
        train_mean_token_accuracy: Share of tokens predicted right on the training batch, 0 to 1.
        valid_loss: Loss on a batch of the validation file.
        valid_mean_token_accuracy: Share of tokens predicted right on that batch, 0 to 1.
        full_valid_loss: Loss on the whole validation file.
        full_valid_mean_token_accuracy: Share of tokens predicted right on the whole of it, 0 to 1.
        extra: Fields of the API that this record does not name.
    """

    step: float | None = None
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    extra: Extra = extra_field()


@attrs.frozen
class FineTuningJobCheckpoint:
    """A model checkpoint of a fine-tuning job, ready to use.

    Attributes:
        id: The checkpoint's identifier; also the cursor that continues a list after it.
        created_at: When it was created: Unix time in seconds. `created` is the same as a datetime.
        fine_tuned_model_checkpoint: The name of the model, to be called like any other.
        fine_tuning_job_id: The job that it comes from.
        metrics: What was measured at its step.
        step_number: The step that it was created at.
        object: Always ``"fine_tuning.job.checkpoint"``.
        extra: Fields of the API that this record does not name.
    """

    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: Metrics
    step_number: int
    object: str = "fine_tuning.job.checkpoint"
    extra: Extra = extra_field()

    @property
    def created(self) -> datetime:
        """`created_at` as an aware datetime in UTC."""
        return _aware(self.created_at)


@attrs.frozen
class Error:
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
class Hyperparameters:
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
class SupervisedHyperparameters:
    """As `Hyperparameters`, where a method carries them."""

    batch_size: str | int | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    extra: Extra = extra_field()


@attrs.frozen
class DpoHyperparameters:
    """As `Hyperparameters`; `beta` weighs the penalty for leaving the reference model."""

    batch_size: str | int | None = None
    beta: str | float | None = None
    learning_rate_multiplier: str | float | None = None
    n_epochs: str | int | None = None
    extra: Extra = extra_field()


@attrs.frozen
class ReinforcementHyperparameters:
    """As `Hyperparameters`, and what steers the exploration and evaluation of reinforcement.

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
class SupervisedMethod:
    """Settings of a supervised job."""

    hyperparameters: SupervisedHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class DpoMethod:
    """Settings of a direct preference optimization job."""

    hyperparameters: DpoHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class ReinforcementMethod:
    """Settings of a reinforcement job; `grader` is the API's grader object as it came."""

    grader: dict[str, object] | None = attrs.field(default=None, hash=False)
    hyperparameters: ReinforcementHyperparameters | None = None
    extra: Extra = extra_field()


@attrs.frozen
class Method:
    """How the job trains: `type` says which of the three settings applies.

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
class WandbIntegration:
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
class WandbIntegrationObject:
    """An integration of a job; `type` is ``"wandb"``, the only one the API has."""

    type: str
    wandb: WandbIntegration | None = None
    extra: Extra = extra_field()


@attrs.frozen
class FineTuningJob:
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
        finished_at: When it ended: Unix time in seconds; None while it runs.
        trained_tokens: Billable tokens; None while it runs.
        validation_file: The file it validates on, if any.
        hyperparameters: How it trains, for supervised jobs.
        organization_id: Whose it is.
        result_files: Files with its results.
        seed: The seed it used.
        estimated_finish: When it is thought to end: Unix time in seconds; None if it does not run.
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
        return _aware(self.created_at)

    @property
    def finished(self) -> datetime | None:
        """`finished_at` as an aware datetime in UTC; None while the job runs."""
        return None if self.finished_at is None else _aware(self.finished_at)


@attrs.frozen
class ListFineTuningJobCheckpointsResponse:
    """The body of a page of checkpoints."""

    data: list[FineTuningJobCheckpoint]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()


@attrs.frozen
class ListPaginatedFineTuningJobsResponse:
    """The body of a page of jobs; first and last id are not documented for it, but often sent."""

    data: list[FineTuningJob]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()


class HasId(Protocol):
    """A record that can be a cursor."""

    @property
    def id(self) -> str:
        """The record's identifier."""
        ...


class ListBody(Protocol):
    """The body of a page, whatever it is a page of, and even before records are made of it."""

    @property
    def data(self) -> Sequence[HasId]:
        """The records."""
        ...

    @property
    def has_more(self) -> bool | None:
        """Whether there are more; None if the server does not say."""
        ...

    @property
    def first_id(self) -> str | None:
        """The id of the first record, if it was sent."""
        ...

    @property
    def last_id(self) -> str | None:
        """The id of the last record, if it was sent."""
        ...

    @property
    def object(self) -> str:
        """Always ``"list"``."""
        ...

    @property
    def extra(self) -> Extra:
        """Fields of the page that have no name here."""
        ...
