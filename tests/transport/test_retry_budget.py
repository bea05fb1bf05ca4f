"""The token bucket for retries."""

import pytest

from asyncckpt.transport.retry_budget import RetryBudget


def test_retries_take_tokens_and_successes_return_them() -> None:
    budget = RetryBudget(20)
    assert budget.acquire()
    assert budget.acquire(RetryBudget.TIMEOUT_RETRY_COST)
    assert budget.acquire()
    assert not budget.acquire()
    budget.succeeded(taken=RetryBudget.RETRY_COST)
    assert budget.acquire()
    for _ in range(5):
        budget.succeeded(taken=0)
    assert budget.acquire()
    assert not budget.acquire()


def test_a_retry_that_cannot_be_paid_for_takes_nothing() -> None:
    budget = RetryBudget(9)
    assert budget.acquire(RetryBudget.TIMEOUT_RETRY_COST) is False
    assert budget.available == 9


def test_it_never_holds_more_than_its_capacity() -> None:
    budget = RetryBudget(10)
    budget.succeeded(taken=0)
    budget.succeeded(taken=100)
    assert budget.available == 10


def test_a_negative_capacity_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be at least 0"):
        RetryBudget(-1)
