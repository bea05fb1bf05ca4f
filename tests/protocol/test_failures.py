import json
import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncckpt import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    Request,
    Response,
    UnprocessableEntityError,
)
from asyncckpt.protocol.failures import (
    BodyTooLongError,
    printable,
    status_error,
    validation_error,
)
from asyncckpt.protocol.secrets import KEPT_OF_A_BODY

from support.strategies import thorough

NOW = 1_721_764_867.0


REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs")


def answer(status_code: int = 200, content: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code, CIMultiDict(named), content, REQUEST)


STATUSES: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: APIStatusError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APIStatusError,
    409: ConflictError,
    418: APIStatusError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    500: InternalServerError,
    502: InternalServerError,
    503: InternalServerError,
    529: InternalServerError,
    599: InternalServerError,
    204: APIStatusError,
    304: APIStatusError,
}


class TestStatusError:
    @pytest.mark.parametrize("status", STATUSES)
    def test_the_class_is_that_of_the_status(self, status: int) -> None:
        error = status_error(answer(status, x_request_id="req_1"))
        assert type(error) is STATUSES[status]
        assert (error.status_code, error.request_id) == (status, "req_1")

    def test_the_apis_own_words(self) -> None:
        body = {"message": "no such job", "type": "invalid", "param": "id", "code": "not_found"}
        content = json.dumps({"error": body, "other": 1}).encode()
        error = status_error(answer(404, content))
        assert error.message == "no such job"
        assert (error.code, error.param, error.type, error.body) == (
            "not_found",
            "id",
            "invalid",
            body,
        )

    @pytest.mark.parametrize(
        ("content", "message", "body"),
        [
            (b"", "the server gave no reason", None),
            (b"   \n", "the server gave no reason", "   \n"),
            (b"<h1>Bad\n  Gateway</h1>", "<h1>Bad Gateway</h1>", "<h1>Bad\n  Gateway</h1>"),
            (b'{"detail": "no"}', '{"detail": "no"}', {"detail": "no"}),
            (b'{"message": "no"}', "no", {"message": "no"}),
            (b'{"error": "no"}', '{"error": "no"}', {"error": "no"}),
            (b'{"error": {"message": ""}}', '{"error": {"message": ""}}', {"message": ""}),
            (b'{"error": {"message": 5}}', '{"error": {"message": 5}}', {"message": 5}),
            (b'{"error": null}', '{"error": null}', {"error": None}),
            (b'["no"]', '["no"]', '["no"]'),
            (b'"no"', '"no"', '"no"'),
            (b"null", "null", "null"),
            (b'{"error": {"message"', '{"error": {"message"', '{"error": {"message"'),
            (b"caf\xe9", "caf\ufffd", "caf\ufffd"),
            (b'{"error": "\xff"}', '{"error": "\ufffd"}', '{"error": "\ufffd"}'),
        ],
    )
    def test_other_bodies(self, content: bytes, message: str, body: object) -> None:
        error = status_error(answer(500, content))
        assert (error.message, error.body) == (message, body)

    @pytest.mark.parametrize(
        ("sent", "message"),
        [
            ("a\x1b[31mb\x07\x00c", "a\ufffd[31mb\ufffd\ufffdc"),
            ("line\r\n\tbreak\u2028s", "line break s"),
            ("right\u202eto left", "right\ufffdto left"),
            ("\x85\xa0 ", "the server gave no reason"),
            ("x" * 501, "x" * 500 + "…"),
            ("grüße \U0001f600", "grüße \U0001f600"),
        ],
    )
    def test_messages_are_printable_and_bounded(self, sent: str, message: str) -> None:
        assert status_error(answer(500, sent.encode())).message == message
        if message[0] != "t":
            content = json.dumps({"error": {"message": sent}}).encode()
            assert status_error(answer(500, content)).message == message

    def test_the_request_id_is_printable_and_bounded(self) -> None:
        response = attrs.evolve(answer(500, b""), headers={"x-request-id": "a\u202eb\udcff" * 100})
        for error in (status_error(response), validation_error(response, "p", "$")):
            assert str(error).isprintable()
            assert error.request_id is not None
            assert error.request_id.startswith("a\ufffdb\ufffda")
            assert len(error.request_id) <= 101

    def test_lone_surrogates_do_not_show(self) -> None:
        error = status_error(answer(500, b'{"error": {"message": "a\\ud800b"}}'))
        assert error.message.isprintable()
        assert error.message.encode()

    def test_what_is_kept_of_a_body_is_bounded(self) -> None:
        content = json.dumps({"error": {"message": "a", "more": "x" * KEPT_OF_A_BODY}}).encode()
        error = status_error(answer(500, content))
        assert isinstance(error.body, str)
        assert len(error.body) <= 501
        small = json.dumps({"error": {"message": "a", "more": "x" * 10_000}}).encode()
        assert status_error(answer(500, small)).message == "a"

    def test_long_bodies_are_cut(self) -> None:
        error = status_error(answer(500, b"long " * 1000))
        assert len(error.message) <= 501
        assert len(str(error.body)) <= 501
        assert error.message.endswith("…")

    @pytest.mark.parametrize("content", [b"[" * 200_000, b'{"error":' * 200_000])
    def test_deep_bodies_do_no_harm(self, content: bytes) -> None:
        assert status_error(answer(500, content)).status_code == 500

    @thorough
    @given(st.text(max_size=40) | st.text("\ud800\udfff\x00\n \u202e", max_size=20))
    def test_any_message_is_printable(self, text: str) -> None:
        assert printable(text).isprintable()
        assert len(printable(text, 5)) <= 6

    @thorough
    @given(
        st.binary(max_size=40)
        | st.binary(max_size=20).map(lambda part: b'{"error": ' + part + b"}")
    )
    def test_any_body(self, content: bytes) -> None:
        error = status_error(answer(400, content))
        assert error.message
        assert error.message.isprintable()
        assert pickle.loads(pickle.dumps(error)).body == error.body


class TestValidationError:
    def test_says_what_where_and_of_which_request(self) -> None:
        response = answer(
            200, b'{"data": 5}', content_type="application/json", x_request_id="req_1"
        )
        error = validation_error(response, "Expected `array`, got `int`", "$.data")
        assert (error.path, error.status_code, error.request_id) == ("$.data", 200, "req_1")
        assert error.body == '{"data": 5}'
        for part in ("Expected `array`, got `int`", "$.data", "req_1", '{"data": 5}'):
            assert part in str(error)
        assert "content type" not in str(error)

    def test_says_when_it_is_no_json_at_all(self) -> None:
        response = answer(200, b"<html>" * 1000, content_type="text/html; charset=utf-8")
        error = validation_error(response, "JSON is malformed", "$")
        assert "content type is text/html" in str(error)
        assert len(str(error)) < 400
        assert len(str(error.body)) <= 501
        assert "without an id" in str(error)

    def test_is_printable(self) -> None:
        response = answer(
            200, b"\x1b[2J\n\xff", content_type="text/\x1b\udcff", x_request_id="req\n1"
        )
        assert str(validation_error(response, "got \x07", "$.\n")).isprintable()

    def test_without_a_content_type(self) -> None:
        assert "content type is none" in str(validation_error(answer(), "nothing", "$"))

    def test_the_message_quotes_the_first_120_characters_of_the_body(self) -> None:
        error = validation_error(answer(content=b"x" * 200), "nothing", "$")
        assert str(error).endswith(f"; body begins {'x' * 120!r}")


def test_the_error_for_a_long_body_does_not_show_the_body() -> None:
    error = BodyTooLongError("too long", answer(200, b"secret"))
    assert str(error) == "too long"
    assert error.response.content == b"secret"
