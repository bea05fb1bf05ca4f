"""Generates the result file of a job: a CSV of its steps.

OpenAI documents five columns. Azure names some of them differently, has two more, and writes -1
for what was not measured.
"""

from __future__ import annotations

import base64
from typing import Literal

from asyncckpt.testing.training import Training

ResultFormat = Literal["csv", "base64"]

_OPENAI = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
}
_AZURE = {
    "step": "step",
    "train_loss": "train_loss",
    "train_mean_token_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "validation_mean_token_accuracy": "valid_mean_token_accuracy",
    "full_valid_loss": "full_valid_loss",
    "full_valid_mean_token_accuracy": "full_valid_mean_token_accuracy",
}
_REWARDS = ("train_mean_reward", "full_validation_mean_reward")


def result_file(training: Training, steps: int, *, azure: bool, as_base64: bool) -> bytes:
    """Return the content of a result file.

    Args:
        training: The steps of the job.
        steps: How many of them there were.
        azure: Whether to use the columns of Azure.
        as_base64: Whether to encode it, as OpenAI does at times.
    """
    columns, missing = (_AZURE, "-1") if azure else (_OPENAI, "")
    if training.has_rewards:
        columns = columns | {name: name for name in _REWARDS}
    lines = [",".join(columns)]
    for step in range(1, steps + 1):
        metrics = training.metrics(step, training.digest_at(step))
        values: dict[str, object] = {**metrics, **training.rewards(metrics)}
        lines.append(",".join(str(values.get(name, missing)) for name in columns.values()))
    content = "".join(f"{line}\n" for line in lines).encode()
    return base64.b64encode(content) if as_base64 else content
