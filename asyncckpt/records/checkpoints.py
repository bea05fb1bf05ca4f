"""Checkpoints as the API describes them, and what all records share: frozen, attrs, with slots.

Names, types and meaning follow the API reference's fine-tuning objects. What the API calls
optional, or may send as ``null``, is None here. A field that this version does not know is kept in
`.extra`, whichever object it comes in, so it is within reach the day the API adds it.

A record is compared by all its fields, and hashed by those that cannot change. The records of
jobs are in `asyncckpt.records.jobs`.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import attrs

__all__ = ["Extra", "FineTuningJobCheckpoint", "HasId", "Metrics", "extra_field"]


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


def as_datetime(unixtime: int) -> datetime:
    """Unix time in seconds as an aware datetime in UTC."""
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
        return as_datetime(self.created_at)


@attrs.frozen
class ListFineTuningJobCheckpointsResponse:
    """The body of a page of checkpoints."""

    data: list[FineTuningJobCheckpoint]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()


class HasId(Protocol):
    """A record with an id, which may be a cursor, or stand for a job."""

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
