"""Hypothesis strategies for what the API sends: its objects as parsed JSON, with unknown fields."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

JSON = Any
Fields = Mapping[str, st.SearchStrategy[JSON]]

thorough = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
"""Without a deadline: how long an example takes depends on what else the machine does."""

WEIRD_NAMES = (
    "extra",
    "learned_0",
    "learned_1",
    "class",
    "self",
    "__dict__",
    "__class__",
    "_id",
    "Id",
    "",
    " ",
    'quo"ted',
    "back\\slash",
    "new\nline",
    "nul\0",
    "\x7f",
    "\u2028",
    "\u202e",
    "größe",
    "\U0001f600",
    "$",
    "a.b[0]",
    "`",
    "9lives",
    "unwieldy" * 40,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
times = st.integers(0, 2**33)
counts = st.integers(-(2**70), 2**70)
values = st.recursive(
    st.none() | st.booleans() | counts | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
"""Any JSON value."""


def _nullable(strategy: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    return st.none() | strategy


def objects(required: Fields, optional: Fields | None = None) -> st.SearchStrategy[dict[str, JSON]]:
    """An object of the API: all of `required`, some of `optional`, and fields nobody knows."""
    optional = optional or {}
    known = {*required, *optional}
    unknown_names = (st.sampled_from(WEIRD_NAMES) | texts).filter(lambda name: name not in known)
    return st.builds(
        lambda named, unknown, first: {**unknown, **named} if first else {**named, **unknown},
        st.fixed_dictionaries(dict(required), optional=dict(optional)),
        st.just({}) | st.dictionaries(unknown_names, values, max_size=3),
        st.booleans(),
    )


_auto_or_count = _nullable(st.just("auto") | st.integers(1, 256))
_auto_or_number = _nullable(st.just("auto") | numbers)

metrics = objects(
    {},
    {
        name: _nullable(numbers)
        for name in (
            "step",
            "train_loss",
            "train_mean_token_accuracy",
            "valid_loss",
            "valid_mean_token_accuracy",
            "full_valid_loss",
            "full_valid_mean_token_accuracy",
        )
    },
)

texts_of_times = st.builds(
    lambda time, separator, zone: time.isoformat(sep=separator) + zone,
    st.datetimes(datetime(1970, 1, 3), datetime(2200, 1, 1)),  # noqa: DTZ001 - naive bounds
    st.sampled_from("T "),
    st.sampled_from(["", "Z", "+00:00", "-07:00", "+0530"]),
)

checkpoints = objects(
    {
        "id": texts,
        "created_at": times | texts_of_times,
        "fine_tuned_model_checkpoint": texts,
        "fine_tuning_job_id": texts,
    },
    {
        "metrics": _nullable(metrics),
        "step_number": _nullable(counts),
        "object": texts,
        "result_files": _nullable(st.lists(texts, max_size=2)),
    },
)

_supervised = {
    "batch_size": _auto_or_count,
    "learning_rate_multiplier": _auto_or_number,
    "n_epochs": _auto_or_count,
}

methods = objects(
    {"type": texts},
    {
        "supervised": _nullable(
            objects({}, {"hyperparameters": _nullable(objects({}, _supervised))})
        ),
        "dpo": _nullable(
            objects(
                {},
                {
                    "hyperparameters": _nullable(
                        objects({}, {**_supervised, "beta": _auto_or_number})
                    )
                },
            )
        ),
        "reinforcement": _nullable(
            objects(
                {},
                {
                    "grader": _nullable(st.dictionaries(texts, values, max_size=3)),
                    "hyperparameters": _nullable(
                        objects(
                            {},
                            {
                                **_supervised,
                                "compute_multiplier": _auto_or_number,
                                "eval_interval": _auto_or_count,
                                "eval_samples": _auto_or_count,
                                "reasoning_effort": _nullable(texts),
                            },
                        )
                    ),
                },
            )
        ),
    },
)

integrations = objects(
    {"type": texts},
    {
        "wandb": _nullable(
            objects(
                {"project": texts},
                {
                    "name": _nullable(texts),
                    "entity": _nullable(texts),
                    "tags": _nullable(st.lists(texts, max_size=2)),
                },
            )
        )
    },
)

jobs = objects(
    {
        "id": texts,
        "created_at": times,
        "model": texts,
        "status": texts,
        "training_file": texts,
    },
    {
        "error": _nullable(
            objects({}, {name: _nullable(texts) for name in ("code", "message", "param")})
        ),
        "fine_tuned_model": _nullable(texts),
        "finished_at": _nullable(times),
        "trained_tokens": _nullable(counts),
        "validation_file": _nullable(texts),
        "hyperparameters": _nullable(objects({}, _supervised)),
        "organization_id": _nullable(texts),
        "result_files": st.lists(texts, max_size=2),
        "seed": _nullable(counts),
        "estimated_finish": _nullable(times),
        "integrations": _nullable(st.lists(integrations, max_size=2)),
        "metadata": _nullable(st.dictionaries(texts, texts, max_size=2)),
        "method": _nullable(methods),
        "object": texts,
    },
)

events = objects(
    {"id": texts, "created_at": times, "level": texts, "message": texts},
    {
        "type": _nullable(texts),
        "data": _nullable(st.dictionaries(texts, values, max_size=3)),
        "object": texts,
    },
)


def pages(
    records: st.SearchStrategy[dict[str, JSON]],
) -> st.SearchStrategy[dict[str, JSON]]:
    return objects(
        {"data": st.lists(records, max_size=3)},
        {
            "has_more": _nullable(st.booleans()),
            "first_id": _nullable(texts),
            "last_id": _nullable(texts),
            "object": texts,
        },
    )
