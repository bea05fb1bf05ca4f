"""Made fine-tuning jobs and checkpoints, as the API serves them.

Every record is a pure function of the seed, the job and the step, so a job with a million
checkpoints takes no memory, and the same seed always gives the same data. Shapes and field
names follow the fine-tuning section of the OpenAI API reference.
"""

from __future__ import annotations

import hashlib
import math
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NotRequired, TypedDict, overload

import attrs

Method = Literal["supervised", "dpo", "reinforcement"]
Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]

METHODS: tuple[Method, ...] = ("supervised", "dpo", "reinforcement")
# Seven, so that statuses and the three methods meet in every combination.
STATUSES: tuple[Status, ...] = (
    "succeeded",
    "running",
    "succeeded",
    "cancelled",
    "succeeded",
    "failed",
    "succeeded",
)
NOT_STARTED: frozenset[Status] = frozenset({"validating_files", "queued"})
FINISHED: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled"})

_MODELS: dict[Method, str] = {
    "supervised": "gpt-4o-mini-2024-07-18",
    "dpo": "gpt-4.1-mini-2025-04-14",
    "reinforcement": "o4-mini-2025-04-16",
}
_SUFFIXES = ("support-bot", "triage", "sql-helper", "summaries", "tone", "router")
_TEAMS = ("support", "search", "billing")
_FIRST_JOB_AT = 1_735_689_600  # 2025-01-01T00:00:00Z
_JOB_GAP = 5_400
_ALPHABET = string.ascii_letters + string.digits
_BASE62 = (_ALPHABET * 5)[:256].encode()
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_CODE_LENGTH = 6
_CODES = 62**_CODE_LENGTH


class MetricsObject(TypedDict, total=False):
    """The metrics of a checkpoint; what was not measured is absent."""

    step: int
    train_loss: float
    train_mean_token_accuracy: float
    valid_loss: float
    valid_mean_token_accuracy: float
    full_valid_loss: float
    full_valid_mean_token_accuracy: float


class CheckpointObject(TypedDict):
    """A `fine_tuning.job.checkpoint` as served."""

    object: Literal["fine_tuning.job.checkpoint"]
    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: MetricsObject
    step_number: int


class JobErrorObject(TypedDict):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class JobObject(TypedDict):
    """A `fine_tuning.job` as served."""

    object: Literal["fine_tuning.job"]
    id: str
    created_at: int
    error: JobErrorObject | None
    estimated_finish: int | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: Mapping[str, object]
    integrations: list[object]
    metadata: dict[str, str] | None
    method: Mapping[str, object]
    model: str
    organization_id: str
    result_files: list[str]
    seed: int
    status: Status
    trained_tokens: int | None
    training_file: str
    validation_file: str | None


class PageObject(TypedDict):
    """A page of a list as served; Azure and some servers leave the two ids out."""

    object: Literal["list"]
    data: Sequence[Mapping[str, object]]
    first_id: NotRequired[str | None]
    last_id: NotRequired[str | None]
    has_more: bool


def digest_of(*parts: object) -> bytes:
    """Return 64 bytes that depend on the parts alone, the same in every process."""
    return hashlib.blake2b("/".join(map(str, parts)).encode()).digest()


def name_from(digest: bytes, length: int) -> str:
    """Return `length` letters and digits made from a digest."""
    return digest[:length].translate(_BASE62).decode()


def _share(digest: bytes, position: int) -> float:
    """A number in [0, 1] from two bytes of a digest."""
    return int.from_bytes(digest[position : position + 2]) / 65_535


@attrs.frozen
class Curve:
    """How a job's losses run over its planned checkpoints.

    Training loss falls all the way. Validation loss falls with it, turns, and rises: the job
    overfits, so that the best checkpoint is not the last.
    """

    floor: float
    height: float
    turn: float
    has_accuracy: bool

    @classmethod
    def of(cls, digest: bytes, method: Method) -> Curve:
        """Draw a job's curve from its digest."""
        floor, height = {
            "supervised": (0.25, 1.6),
            "dpo": (0.08, 0.61),
            "reinforcement": (0.4, 0.9),
        }[method]
        return cls(
            floor=floor * (0.8 + 0.4 * _share(digest, 32)),
            height=height * (0.9 + 0.2 * _share(digest, 34)),
            turn=0.4 + 0.2 * _share(digest, 36),
            has_accuracy=method != "reinforcement",
        )

    def train_loss(self, progress: float) -> float:
        """Training loss without noise; `progress` is 1.0 at the planned end."""
        return self.floor + self.height * math.exp(-4.0 * progress)

    def valid_loss(self, progress: float) -> float:
        """Validation loss without noise."""
        past = min(max(0.0, progress - self.turn), 1.0)
        return self.train_loss(progress) + self.height * (0.04 + 0.9 * past * past)


class Checkpoints(Sequence[CheckpointObject]):
    """The checkpoints of one job, newest first, each made when it is asked for.

    Args:
        seed: The sandbox's seed.
        job_id: The job they belong to.
        method: The job's method; reinforcement has no token accuracies.
        started_at: Unix time in seconds before the first of them.
        model: The fine-tuned model's name up to its last part.
        made: How many there are now.
        planned: How many there will be at the end: the scale of the curves.
        validated: Whether the job has a validation file.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        *,
        seed: int,
        job_id: str,
        method: Method,
        started_at: int,
        model: str,
        made: int,
        planned: int,
        validated: bool,
    ) -> None:
        digest = digest_of(seed, job_id)
        self.made = made
        self.planned = max(1, planned)
        self._seed = seed
        self._job_id = job_id
        self._started_at = started_at
        self.model = model
        self._validated = validated
        self._curve = Curve.of(digest, method)
        self._every = (10, 25, 50, 100)[digest[38] % 4]
        self._full_every = max(1, self.planned // (3 + digest[39] % 3))
        self._spacing = max(2, min(90, 259_200 // self.planned))
        # Coprime with 62, so that the codes of the ids are all different.
        self._factor = 62 * int.from_bytes(digest[40:44]) + 1 + 2 * (digest[44] % 15)
        self._offset = int.from_bytes(digest[45:50])
        self._inverse: int = pow(self._factor, -1, _CODES)

    def __len__(self) -> int:
        return self.made

    @overload
    def __getitem__(self, index: int) -> CheckpointObject: ...
    @overload
    def __getitem__(self, index: slice) -> list[CheckpointObject]: ...
    def __getitem__(self, index: int | slice) -> CheckpointObject | list[CheckpointObject]:
        if isinstance(index, slice):
            return [self._make(self.made - 1 - n) for n in range(*index.indices(self.made))]
        position = index + self.made if index < 0 else index
        if not 0 <= position < self.made:
            message = f"checkpoint {index} asked for, the job has {self.made}"
            raise IndexError(message)
        return self._make(self.made - 1 - position)

    def __iter__(self) -> Iterator[CheckpointObject]:
        return (self._make(number) for number in range(self.made - 1, -1, -1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def __repr__(self) -> str:
        return f"<Checkpoints of {self._job_id}: {self.made}>"

    def position_of(self, checkpoint_id: str) -> int | None:
        """Return where an id stands in the list, newest first, or None for a stranger's id."""
        number = self._number_of(checkpoint_id)
        if number is None or not 0 <= number < self.made:
            return None
        return self.made - 1 - number if self._id_of(number) == checkpoint_id else None

    def created_at(self, number: int) -> int:
        """Unix time in seconds at which the number-th checkpoint, the oldest being 0, was made."""
        return self._started_at + self._spacing * (number + 1)

    def _id_of(self, number: int, digest: bytes | None = None) -> str:
        code = (number * self._factor + self._offset) % _CODES
        digits: list[str] = []
        for _ in range(_CODE_LENGTH):
            code, digit = divmod(code, 62)
            digits.append(_ALPHABET[digit])
        tail = name_from(digest or self._digest_of(number), 24 - _CODE_LENGTH)
        return f"ftckpt_{''.join(digits)}{tail}"

    def _number_of(self, checkpoint_id: str) -> int | None:
        code = 0
        for character in reversed(checkpoint_id.removeprefix("ftckpt_")[:_CODE_LENGTH]):
            if character not in _DIGITS:
                return None
            code = code * 62 + _DIGITS[character]
        number: int = (code - self._offset) * self._inverse % _CODES
        return number

    def _digest_of(self, number: int) -> bytes:
        return digest_of(self._seed, self._job_id, number)

    def _make(self, number: int) -> CheckpointObject:
        digest = self._digest_of(number)
        step = self._every * (number + 1)
        return {
            "object": "fine_tuning.job.checkpoint",
            "id": self._id_of(number, digest),
            "created_at": self.created_at(number) - digest[60] % self._spacing // 2,
            "fine_tuned_model_checkpoint": (
                f"{self.model}:{name_from(digest[24:], 8)}:ckpt-step-{step}"
            ),
            "fine_tuning_job_id": self._job_id,
            "metrics": self._metrics(number, step, digest),
            "step_number": step,
        }

    def _metrics(self, number: int, step: int, digest: bytes) -> MetricsObject:
        progress = (number + 1) / self.planned
        train = self._curve.train_loss(progress) * (0.96 + 0.08 * _share(digest, 40))
        metrics: MetricsObject = {"step": step, "train_loss": round(train, 5)}
        if self._curve.has_accuracy:
            metrics["train_mean_token_accuracy"] = _accuracy(train)
        if not self._validated:
            return metrics
        expected = self._curve.valid_loss(progress)
        valid = expected * (0.97 + 0.06 * _share(digest, 42))
        metrics["valid_loss"] = round(valid, 5)
        if self._curve.has_accuracy:
            metrics["valid_mean_token_accuracy"] = _accuracy(valid)
        if (number + 1) % self._full_every and number + 1 != self.planned:
            return metrics
        full = expected * (0.99 + 0.02 * _share(digest, 44))
        metrics["full_valid_loss"] = round(full, 6)
        if self._curve.has_accuracy:
            metrics["full_valid_mean_token_accuracy"] = _accuracy(full)
        return metrics


def _accuracy(loss: float) -> float:
    return round(min(1.0, 0.3 + 0.68 * math.exp(-0.5 * loss)), 5)


@attrs.define
class Job:
    """One made job: its object as served, and its checkpoints."""

    object: JobObject
    checkpoints: Checkpoints

    def finish(self, status: Status) -> None:
        """Bring the job to its end.

        Args:
            status: `succeeded`, `failed` or `cancelled`.

        Raises:
            ValueError: The job has finished already, or `status` is no end.
        """
        if status not in FINISHED:
            message = f"a job ends as one of {sorted(FINISHED)}, not as {status!r}"
            raise ValueError(message)
        self._refuse_if_finished()
        last = self.checkpoints.created_at(len(self.checkpoints) - 1)
        record = self.object
        record["status"] = status
        record["estimated_finish"] = None
        record["finished_at"] = last + 60
        if status == "succeeded":
            digest = digest_of("model", record["id"])
            record["fine_tuned_model"] = f"{self.checkpoints.model}:{name_from(digest, 8)}"
            record["trained_tokens"] = 4_096 * max(1, len(self.checkpoints))
            record["result_files"] = [f"file-{name_from(digest[8:], 22)}"]
        if status == "failed":
            text = f"The job failed after checkpoint {len(self.checkpoints)}."
            record["error"] = {"code": "server_error", "message": text, "param": None}

    def add_checkpoint(self) -> CheckpointObject:
        """Let a running or waiting job make its next checkpoint, and return it.

        Raises:
            ValueError: The job has finished.
        """
        self._refuse_if_finished()
        self.object["status"] = "running"
        self.checkpoints.made += 1
        return self.checkpoints[0]

    def _refuse_if_finished(self) -> None:
        if self.object["status"] in FINISHED:
            message = (
                f"job {self.object['id']} has finished ({self.object['status']}); "
                'make a running one with add_job(status="running")'
            )
            raise ValueError(message)


class Dataset:
    """All made jobs of a sandbox, newest first.

    Args:
        seed: What everything is drawn from.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._jobs: dict[str, Job] = {}

    @property
    def jobs(self) -> list[Job]:
        """The jobs, newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, job_id: str) -> Job | None:
        """Return a job by its id, or None."""
        return self._jobs.get(job_id)

    def add_job(
        self,
        *,
        checkpoints: int,
        status: Status | None = None,
        method: Method | None = None,
        metadata: Mapping[str, str] | None = None,
        validation: bool = True,
    ) -> Job:
        """Make the next, newest job.

        Args:
            checkpoints: How many checkpoints it has now; a job that has not started has none.
            status: By default the next of `STATUSES`.
            method: By default the next of `METHODS`.
            metadata: By default made for two jobs of three, null for the third.
            validation: Whether it has a validation file, and so validation metrics.

        Returns:
            The job.
        """
        number = len(self._jobs)
        digest = digest_of(self.seed, "job", number)
        method = method or METHODS[number % len(METHODS)]
        status = status or STATUSES[number % len(STATUSES)]
        if metadata is None and number % 3 != 2:
            metadata = {"team": _TEAMS[digest[61] % len(_TEAMS)], "run": str(number)}
        record = _job_object(digest, number, method, metadata, validation)
        count = 0 if status in NOT_STARTED else checkpoints
        job = Job(
            record,
            Checkpoints(
                seed=self.seed,
                job_id=record["id"],
                method=method,
                started_at=record["created_at"] + 300,
                model=f"ft:{record['model']}:acme:{_SUFFIXES[digest[62] % len(_SUFFIXES)]}",
                made=count,
                planned=checkpoints if status in FINISHED else 2 * checkpoints,
                validated=validation,
            ),
        )
        if status in FINISHED:
            job.finish(status)
        else:
            record["status"] = status
        if status == "running":
            record["estimated_finish"] = job.checkpoints.created_at(job.checkpoints.planned)
        self._jobs[record["id"]] = job
        return job


def _job_object(
    digest: bytes,
    number: int,
    method: Method,
    metadata: Mapping[str, str] | None,
    validation: bool,
) -> JobObject:
    hyperparameters = {
        "batch_size": 2 ** (digest[50] % 5),
        "learning_rate_multiplier": (0.1, 0.8, 1.8, 2.0)[digest[51] % 4],
        "n_epochs": 3 + digest[52] % 3,
    }
    return {
        "object": "fine_tuning.job",
        "id": f"ftjob-{name_from(digest, 24)}",
        "created_at": _FIRST_JOB_AT + _JOB_GAP * number,
        "error": None,
        "estimated_finish": None,
        "fine_tuned_model": None,
        "finished_at": None,
        "hyperparameters": hyperparameters,
        "integrations": [],
        "metadata": None if metadata is None else dict(metadata),
        "method": _method_object(method, hyperparameters),
        "model": _MODELS[method],
        "organization_id": "org-acme",
        "result_files": [],
        "seed": int.from_bytes(digest[53:57]) >> 1,
        "status": "queued",
        "trained_tokens": None,
        "training_file": f"file-{name_from(digest[24:], 22)}",
        "validation_file": f"file-{name_from(digest[30:], 22)}" if validation else None,
    }


def _method_object(method: Method, hyperparameters: Mapping[str, object]) -> dict[str, object]:
    settings: dict[str, object] = {"hyperparameters": dict(hyperparameters)}
    if method == "dpo":
        settings["hyperparameters"] = {**hyperparameters, "beta": 0.1}
    if method == "reinforcement":
        settings["grader"] = {
            "type": "string_check",
            "name": "exact answer",
            "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}",
            "operation": "eq",
        }
    return {"type": method, method: settings}
