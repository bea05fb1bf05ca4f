"""The tree of exceptions."""

import copy
import pickle

import pytest
from multidict import CIMultiDict

import asyncckpt
from asyncckpt import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    ArchiveError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    CursorExpiredError,
    InternalServerError,
    NoCheckpointError,
    NotFoundError,
    OpenAIError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    Request,
    Response,
    UnprocessableEntityError,
    errors,
)

REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs/ftjob-1/checkpoints?limit=3")


RESPONSE = Response(
    429,
    CIMultiDict({"X-Request-ID": "req_1", "Retry-After": "1"}),
    b'{"error": {"message": "no"}}',
    REQUEST,
)


BODY = {"message": "no", "code": "invalid", "param": "limit", "type": "invalid_request_error"}


PARENTS = {
    OpenAIError: Exception,
    APIError: OpenAIError,
    APIConnectionError: APIError,
    APITimeoutError: APIConnectionError,
    APIStatusError: APIError,
    BadRequestError: APIStatusError,
    AuthenticationError: APIStatusError,
    PermissionDeniedError: APIStatusError,
    NotFoundError: APIStatusError,
    ConflictError: APIStatusError,
    UnprocessableEntityError: APIStatusError,
    RateLimitError: APIStatusError,
    InternalServerError: APIStatusError,
    CursorExpiredError: APIStatusError,
    APIResponseValidationError: APIError,
    PaginationError: APIError,
    NoCheckpointError: OpenAIError,
    ArchiveError: OpenAIError,
}


EXAMPLES: list[OpenAIError] = [
    OpenAIError("no key"),
    APIError("went wrong", request=REQUEST, body=BODY),
    APIConnectionError("cut", request=REQUEST),
    APIConnectionError("bad certificate", is_final=True),
    APITimeoutError("too slow", request=REQUEST),
    APIStatusError("no", response=RESPONSE, body=BODY),
    *(
        kind("no", response=RESPONSE, body=BODY)
        for kind, parent in PARENTS.items()
        if parent is APIStatusError and kind is not CursorExpiredError
    ),
    CursorExpiredError("expired", response=RESPONSE, body=BODY, cursor="ftckpt_1"),
    APIStatusError("plain", response=RESPONSE, body="plain"),
    APIResponseValidationError("odd", response=RESPONSE, body="[]", path="$.data[3]"),
    PaginationError("a cycle", cursor="ftckpt_1", request=REQUEST),
    PaginationError("nowhere", cursor=None),
    ArchiveError("in use"),
    NoCheckpointError("none", jobs=2, checkpoints=3, metrics=["train_loss"], failed=1),
]


@pytest.mark.parametrize("kind", PARENTS, ids=lambda kind: kind.__name__)
def test_the_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, PARENTS[kind])
    assert getattr(asyncckpt, kind.__name__) is kind
    assert kind.__name__ in asyncckpt.__all__


def test_the_list_of_errors_is_complete() -> None:
    assert set(errors.__all__) == {kind.__name__ for kind in PARENTS}


def test_siblings_are_not_caught_together() -> None:
    assert not issubclass(APIResponseValidationError, APIStatusError)
    assert not issubclass(PaginationError, APIStatusError | APIConnectionError)
    assert not issubclass(APIConnectionError, APIStatusError)
    # Those of Python are left to mean what they mean elsewhere.
    assert not issubclass(APITimeoutError, TimeoutError)


@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_keep_everything(error: OpenAIError, protocol: int) -> None:
    error = copy.copy(error)
    error.add_note("asyncckpt tried 3 times")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
    assert vars(again) == vars(error)
    assert again.__notes__ == ["asyncckpt tried 3 times"]


def test_attributes_of_the_apis_error_object() -> None:
    error = BadRequestError("no", response=RESPONSE, body=BODY)
    assert (error.code, error.param, error.type) == ("invalid", "limit", "invalid_request_error")
    assert (error.status_code, error.request_id) == (429, "req_1")
    assert (error.request, error.response, error.body) == (REQUEST, RESPONSE, BODY)
    assert error.message == "no"


@pytest.mark.parametrize("body", [None, "text", ["code"], {}, {"code": None}])
def test_attributes_without_an_error_object_are_none(body: object) -> None:
    error = APIStatusError("no", response=RESPONSE, body=body)
    assert (error.code, error.param, error.type) == (None, None, None)


def test_a_code_that_is_a_number_is_text() -> None:
    assert APIStatusError("no", response=RESPONSE, body={"code": 401}).code == "401"


def test_errors_without_a_response_have_no_request_id() -> None:
    assert APIConnectionError("cut", request=REQUEST).request_id is None
    assert PaginationError("nowhere", cursor=None).request_id is None


def test_text() -> None:
    assert str(NotFoundError("no such job", response=RESPONSE, body=None)) == (
        "429: no such job (request req_1)"
    )
    anonymous = Response(500, {}, b"", REQUEST)
    assert str(InternalServerError("failed", response=anonymous, body=None)) == "500: failed"
    assert str(APIConnectionError("cut", request=REQUEST)) == "cut"
    assert str(PaginationError("a cycle", cursor="c")) == "a cycle"
    assert repr(APITimeoutError("too slow")) == "APITimeoutError('too slow')"


def test_nothing_of_headers_content_or_query_shows() -> None:
    request = Request("GET", "https://api.openai.com/v1?limit=3&token=sk-hidden")
    response = Response(400, {"x-secret": "sk-hidden"}, b"sk-hidden", request)
    error = BadRequestError("no", response=response, body=None)
    for shown in (error, pickle.loads(pickle.dumps(error))):
        assert "sk-hidden" not in f"{shown} {shown!r} {shown.response!r} {shown.request!r}"
        assert "sk-hidden" not in str(shown.args)
        assert shown.request.url == "https://api.openai.com/v1?limit=3&token=***"
