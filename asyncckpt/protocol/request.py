"""The API over HTTP, with no I/O: build a request, read an answer, decide on a retry.

Everything here is a function of its arguments, and each policy of the client stands here once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Final, cast
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

import attrs
import msgspec
from multidict import CIMultiDict

from asyncckpt.errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from asyncckpt.messages import Request, Response, is_public

MAX_RETRY_AFTER: Final = 120.0
"""Seconds; a server that asks for a longer pause gets none: the error goes to the caller."""

MAX_REDIRECTS: Final = 5

_FIRST_BACKOFF: Final = 0.25
_LONGEST_BACKOFF: Final = 8.0
_SHOWN_OF_A_BODY: Final = 500
_SHORTEST_SECRET: Final = 8
# RFC 3986, section 3.3; with the percent sign, for what is encoded already stays so.
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=-._~%"
_PUBLIC_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-type",
        "openai-organization",
        "openai-project",
        "user-agent",
    }
)
_HEADERS_OF_THE_CONNECTION: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CREDENTIAL_HEADERS: Final = frozenset({"authorization", "api-key"})

_STATUS_ERRORS: Final[Mapping[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

TOO_MANY_REQUESTS: Final = 429
UNAUTHORIZED: Final = 401


# ---------------------------------------------------------------- building a request


def parse_base_url(base_url: object) -> tuple[str, dict[str, str]]:
    """Check a base URL, and part it from its query.

    Returns:
        The URL without a trailing slash, and the query parameters that every request is to carry.

    Raises:
        TypeError: It is no string.
        ValueError: It is no absolute http or https URL, or carries a fragment or credentials.
    """
    if not isinstance(base_url, str):
        raise TypeError(f"base_url must be a string, not {type(base_url).__name__}")
    # The URL itself is kept out of the messages: it may hold a password.
    if not base_url or re.search(r"[\x00-\x20\x7f\\]", base_url):
        raise ValueError("base_url is empty, or has a space, control character or backslash in it")
    try:
        parts = urlsplit(base_url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError("base_url is not a URL: its host or port cannot be") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("base_url must look like https://api.openai.com/v1: http(s) and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("base_url must not carry credentials; use api_key or default_headers")
    if parts.fragment:
        raise ValueError("base_url must not have a #fragment")
    path = quote(parts.path.rstrip("/"), safe=_PATH_CHARACTERS)
    bare = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return bare, check_query("base_url", query)


_PLAIN_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]+")


def path_segment(name: str, value: object) -> str:
    """Check an identifier that goes into the path, and encode it.

    Args:
        name: What to call it in an error.
        value: The identifier.

    Raises:
        TypeError: It is no string.
        ValueError: It is empty, or would make a different path.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if _PLAIN_IDENTIFIER.fullmatch(value):
        return value
    if not value or value in (".", ".."):
        raise ValueError(f"{name} must be an identifier such as 'ftjob-abc123', not {value!r}")
    if not value.isprintable() or any(character in "/\\?#% " for character in value):
        raise ValueError(
            f"{name} must not contain spaces, control characters or any of / \\ ? # %: {value!r}"
        )
    return quote(value, safe="")


def check_headers(name: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Check header names and values (RFC 9110, section 5); values never show in an error.

    Raises:
        TypeError: A name or a value is no string.
        ValueError: A name or a value is not allowed in a header.
    """
    checked = check_strings(name, headers)
    for header, value in checked.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", header):
            raise ValueError(f"{name}: {header!r} is no header name")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", value):
            raise ValueError(f"{name}: the value of {header} has a line break or control character")
        if header.lower() in _HEADERS_OF_THE_CONNECTION:
            raise ValueError(f"{name}: {header} is the connection's own and cannot be set")
    return checked


def merge_headers(defaults: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """`defaults` with `extra` in place of those of the same name, in whatever case.

    Where `extra` authenticates, nothing in `defaults` does so as well: that may be the key of
    another provider.
    """
    if carries_credentials(extra):
        defaults = without_credentials(defaults)
    return {**without_headers(defaults, extra), **extra}


def without_headers(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The headers without those of these names, in whatever case."""
    left_out = {name.lower() for name in names}
    return {header: value for header, value in headers.items() if header.lower() not in left_out}


def check_query(name: str, query: Mapping[str, str] | None) -> dict[str, str]:
    """Check query parameters.

    Raises:
        TypeError: A name or a value is no string.
        ValueError: It would set the cursor, which the pages do.
    """
    checked = check_strings(name, query)
    if "after" in checked:
        raise ValueError(f"{name} must not have 'after'; pass it as the argument after=...")
    if any("\ud800" <= character <= "\udfff" for value in checked.values() for character in value):
        raise ValueError(f"{name} has a lone surrogate in it, which cannot be sent")
    return checked


def check_strings(name: str, mapping: Mapping[str, str] | None) -> dict[str, str]:
    """Check that a mapping has strings for names and values; None is an empty one.

    Raises:
        TypeError: It is no mapping, or a name or a value is no string.
    """
    given: object = mapping if mapping is not None else {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a mapping of strings, not {type(given).__name__}")
    checked: dict[str, str] = {}
    for key, value in cast("Mapping[object, object]", given).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"{name}: names and values must be strings; see {key!r}")
        checked[key] = value
    return checked


def check_api_key(api_key: object, source: str) -> str:
    """Check that a key can be sent; the key never shows in an error.

    Raises:
        TypeError: It is no string.
        ValueError: It is empty, or has something in it that no key has.
    """
    if not isinstance(api_key, str):
        raise TypeError(f"{source} must give a string, not {type(api_key).__name__}")
    if not re.fullmatch(r"[\x21-\x7e]+", api_key):
        raise ValueError(
            f"{source} is empty, or has a space, line break or non-ASCII character in it: "
            "is there a line break at its end?"
        )
    return api_key


def carries_credentials(headers: Mapping[str, str]) -> bool:
    """Whether the headers authenticate by themselves: ``Authorization``, or Azure's ``api-key``."""
    return any(header.lower() in _CREDENTIAL_HEADERS for header in headers)


def without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without those that authenticate."""
    return without_headers(headers, _CREDENTIAL_HEADERS)


def encode_query(query: Mapping[str, str]) -> str:
    """The query as it is appended to a path: with its question mark, or empty."""
    return f"?{urlencode(query, quote_via=quote)}" if query else ""


def with_after(url: str, cursor: str | None) -> str:
    """The URL of the page after a cursor; None is the first page."""
    if cursor is None:
        return url
    return (
        f"{url}{'&' if '?' in url else '?'}after={quote(cursor, safe='', errors='surrogatepass')}"
    )


# ---------------------------------------------------------------- redirects


@attrs.frozen
class Redirect:
    """Where an answer sends the client.

    Attributes:
        url: The absolute URL.
        same_origin: Whether credentials may go there (RFC 6454).
    """

    url: str = attrs.field(repr=False)
    same_origin: bool


def redirect_of(url: str, status_code: int, headers: Mapping[str, str]) -> Redirect | None:
    """The redirect that an answer asks for (RFC 9110, section 15.4), or None if it asks for none.

    Raises:
        APIConnectionError: The place it names is no http or https URL.
    """
    location = headers.get("location")
    if status_code not in (301, 302, 303, 307, 308) or not location:
        return None
    try:
        target = urlsplit(urljoin(url, location))
        same_origin = _origin(target) == _origin(urlsplit(url))
    except ValueError:
        target, same_origin = urlsplit(""), False
    if target.scheme not in ("http", "https") or not target.hostname:
        raise APIConnectionError(
            "Redirected to something that is no http(s) URL with a host",
            request=Request("GET", url),
            is_final=True,
        )
    if target.username is not None or re.search(r"[\x00-\x20\x7f]", location):
        raise APIConnectionError(
            "Redirected to a URL with credentials, spaces or control characters in it",
            request=Request("GET", url),
            is_final=True,
        )
    path = quote(target.path or "/", safe=_PATH_CHARACTERS)
    query = quote(target.query, safe=f"{_PATH_CHARACTERS}?")
    return Redirect(target._replace(path=path, query=query, fragment="").geturl(), same_origin)


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


# ---------------------------------------------------------------- reading an answer


@attrs.frozen
class RateLimitHints:
    """What an answer's headers say of the server's rate limit; None where they say nothing.

    Attributes:
        retry_after: Seconds until another request is welcome.
        limit: Requests allowed in a window.
        remaining: Requests left in this window.
        reset: Seconds until the window is full again.
    """

    retry_after: float | None = None
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


NO_HINTS: Final = RateLimitHints()


def rate_limit_hints(headers: Mapping[str, str], now: float) -> RateLimitHints:
    """Read ``retry-after-ms``, ``retry-after`` and ``x-ratelimit-*-requests``.

    Args:
        headers: The answer's headers; look-ups must ignore case.
        now: The wall clock, in Unix seconds, for a `retry-after` that is a date.
    """
    retry_after = _retry_after(headers, now)
    limit = headers.get("x-ratelimit-limit-requests")
    remaining = headers.get("x-ratelimit-remaining-requests")
    reset = headers.get("x-ratelimit-reset-requests")
    if retry_after is None and limit is None and remaining is None and reset is None:
        return NO_HINTS
    return RateLimitHints(retry_after, _whole(limit), _whole(remaining), _duration(reset))


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    if milliseconds is None and value is None:
        return None
    seconds = _number(milliseconds)
    if seconds is not None:
        return seconds / 1000
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    # It costs an import what half of this package does, and is hardly ever needed.
    import email.utils

    try:
        date = email.utils.parsedate_to_datetime(value)
        if date.tzinfo is None:
            # Every form that RFC 9110 allows means UTC; that of asctime() does not say so.
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


_UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(text: str | None) -> float | None:
    """Seconds in a duration such as ``1s``, ``6m0s``, ``20ms`` or ``1h2m3.5s``."""
    if text is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(map("".join, parts)) != text.strip():
        return _number(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return seconds if math.isfinite(seconds) else None


def within_reason(hints: RateLimitHints) -> RateLimitHints:
    """The hints without pauses longer than `MAX_RETRY_AFTER`: one such must not stop a client."""
    if (hints.retry_after or 0) > MAX_RETRY_AFTER:
        hints = attrs.evolve(hints, retry_after=None)
    if (hints.reset or 0) > MAX_RETRY_AFTER:
        hints = attrs.evolve(hints, reset=None)
    return hints


class BodyTooLongError(Exception):
    """The body is longer than allowed.

    Attributes:
        response: The answer, with as much of the body as is allowed.
    """

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response


def status_error(response: Response) -> APIStatusError:
    """The exception for an answer that is not a success, with the API's own words."""
    body = _error_body(response)
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, str) or not message:
        text = " ".join(response.text[: 10 * _SHOWN_OF_A_BODY].split())
        message = _bounded(text) if text else "the server gave no reason"
    kind = _STATUS_ERRORS.get(response.status_code)
    if kind is None:
        kind = InternalServerError if response.status_code >= 500 else APIStatusError
    return kind(message, response=response, body=body)


def _error_body(response: Response) -> dict[str, object] | str | None:
    """The API's error object; what else was sent in its place; or its text, or None for nothing."""
    try:
        body = msgspec.json.decode(response.content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _bounded(response.text) or None
    error = body.get("error")
    return cast("dict[str, object]", error) if isinstance(error, dict) else body


def validation_error(response: Response, problem: str, path: str) -> APIResponseValidationError:
    """The exception for a success that does not hold what the API promises."""
    piece = _bounded(response.text)
    message = f"The server's answer is not what the API describes: {problem} at {path}"
    content_type = response.headers.get("content-type", "none")
    if "json" not in content_type:
        message += f"; its content type is {content_type[:100]}"
    message += f"; request {response.request_id or 'without an id'}; body begins {piece[:120]!r}"
    return APIResponseValidationError(message, response=response, body=piece, path=path)


def _bounded(text: str) -> str:
    return text if len(text) <= _SHOWN_OF_A_BODY else text[:_SHOWN_OF_A_BODY] + "…"


def masked(response: Response, secrets: Iterable[str]) -> Response:
    """The answer with every secret in its body and headers masked, should the server repeat one."""
    known = list(secrets)
    headers = (
        (name, mask(value.encode("utf-8", "surrogateescape"), known))
        for name, value in response.headers.items()
    )
    return attrs.evolve(
        response,
        content=mask(response.content, known),
        headers=CIMultiDict(
            (name, value.decode("utf-8", "surrogateescape")) for name, value in headers
        ),
    )


def mask(content: bytes, secrets: Iterable[str]) -> bytes:
    """The text with every secret in it masked; also as JSON and URLs write it."""
    # The longest first, for one may begin with another.
    for secret in sorted(secrets, key=len, reverse=True):
        # A shorter one would mask ordinary words.
        if len(secret) >= _SHORTEST_SECRET:
            for form in {secret, secret.replace("/", "\\/"), quote(secret, safe="")}:
                content = content.replace(form.encode(), b"***")
    return content


def secrets_in(headers: Mapping[str, str], url: str) -> list[str]:
    """What must not show of a request: words of its values, for ``Bearer <key>`` is two of them."""
    values = [value for name, value in headers.items() if name.lower() not in _PUBLIC_HEADERS]
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    values += [value for name, value in query if not is_public(name)]
    return [word for value in values for word in value.split()]


# ---------------------------------------------------------------- deciding on a retry


def retry_delay(
    error: APIError, retries_taken: int, *, fraction: float, now: float
) -> float | None:
    """Seconds until the same request may fare better; None if it cannot.

    Connection errors are worth a retry, and the statuses 408, 409, 429 and 5xx, unless
    ``x-should-retry`` says otherwise, the server asks for a pause longer than `MAX_RETRY_AFTER`, or
    the account's quota is used up.

    Args:
        error: What went wrong.
        retries_taken: How many retries there were already.
        fraction: A random number from 0 to 1, for the jitter.
        now: The wall clock, in Unix seconds.
    """
    if isinstance(error, APIStatusError):
        if not _is_worth_a_retry(error):
            return None
        retry_after = _retry_after(error.response.headers, now)
        if retry_after is not None:
            return retry_after if retry_after <= MAX_RETRY_AFTER else None
    elif not isinstance(error, APIConnectionError) or error.is_final:
        return None
    return backoff(retries_taken, fraction)


def _is_worth_a_retry(error: APIStatusError) -> bool:
    should_retry = error.response.headers.get("x-should-retry")
    if should_retry in ("true", "false"):
        return should_retry == "true"
    if error.code == "insufficient_quota":
        return False
    return error.status_code in (408, 409, 429) or error.status_code >= 500


def backoff(retries_taken: int, fraction: float) -> float:
    """Seconds to wait before the next retry: exponential, with full jitter.

    Args:
        retries_taken: How many retries there were already.
        fraction: A random number from 0 to 1.
    """
    # The exponent is bounded: 2.0 ** 1100 overflows.
    return fraction * min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(retries_taken, 30))
