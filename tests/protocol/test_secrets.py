import pytest
from multidict import CIMultiDict

from asyncckpt import (
    Request,
    Response,
)
from asyncckpt.protocol.secrets import mask, masked

NOW = 1_721_764_867.0


REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs")


def answer(status_code: int = 200, content: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code, CIMultiDict(named), content, REQUEST)


class TestMask:
    def test_every_secret_everywhere(self) -> None:
        content = b"key sk-1234567890 is not sk-1234567890; nor is azure-key-1"
        masked = mask(content, ["sk-1234567890", "azure-key-1"])
        assert masked == b"key *** is not ***; nor is ***"

    def test_no_secrets(self) -> None:
        assert mask(b"as it was", []) == b"as it was"

    def test_short_ones_would_mask_ordinary_words(self) -> None:
        assert mask(b"an error message", ["error", ""]) == b"an error message"

    def test_secrets_that_are_no_ascii(self) -> None:
        assert mask("der Schlüssel-1".encode(), ["Schlüssel-1"]) == b"der ***"

    @pytest.mark.parametrize("form", [b"abc/def+1234", rb"abc\/def+1234", b"abc%2Fdef%2B1234"])
    def test_secrets_as_json_and_urls_write_them(self, form: bytes) -> None:
        assert mask(b'{"message": "' + form + b'"}', ["abc/def+1234"]) == (b'{"message": "***"}')

    def test_a_whole_response(self) -> None:
        response = answer(
            401, b"wrong key sk-1234567890", x_echo="sk-1234567890", x_request_id="req_1"
        )
        shown = masked(response, iter(["sk-1234567890"]))
        assert shown.content == b"wrong key ***"
        assert dict(shown.headers) == {"x-echo": "***", "x-request-id": "req_1"}
        assert shown.headers["X-Echo"] == "***"
        assert (shown.status_code, shown.request) == (401, REQUEST)
        assert response.content == b"wrong key sk-1234567890"

    def test_secrets_that_begin_alike(self) -> None:
        secrets = ["sk-12345678", "sk-12345678-and-more"]
        for order in (secrets, secrets[::-1]):
            assert mask(b"key sk-12345678-and-more", order) == b"key ***"
