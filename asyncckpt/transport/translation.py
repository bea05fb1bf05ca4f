"""Translates whatever went wrong inside a request into the exceptions of this package."""

from __future__ import annotations

import re
from typing import Final

import aiohttp

from asyncckpt.errors import APIConnectionError, APITimeoutError
from asyncckpt.messages import Request
from asyncckpt.options import Timeout
from asyncckpt.protocol.failures import printable
from asyncckpt.transport.pool import NOT_HTTP

__all__ = ["translated"]

_SHOWN_OF_A_REASON: Final = 500


def translated(error: Exception, timeout: Timeout, request: Request) -> APIConnectionError:
    """Return the exception that a caller sees for anything that went wrong inside a request.

    It has no cause: exceptions of aiohttp carry the headers of the request, and the key in them.
    Besides `aiohttp.ClientError`, `OSError` and `TimeoutError`, these can come out of aiohttp:
    exceptions of its HTTP parser, `ssl.SSLError` and `ssl.CertificateError`, `ValueError` and
    `UnicodeError` (a host that cannot be encoded), `LookupError` (an unknown codec), `zlib.error`
    and the exceptions of other decompressors, `RuntimeError`, `AssertionError`, `EofStream`.

    Args:
        error: What was raised.
        timeout: The timeout of the request.
        request: The request.
    """
    if isinstance(error, APIConnectionError):
        return error
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return APITimeoutError(f"No connection within {timeout.connect} s", request=request)
    if isinstance(error, aiohttp.SocketTimeoutError):
        return APITimeoutError(f"The server was silent for {timeout.read} s", request=request)
    if isinstance(error, TimeoutError):
        return APITimeoutError(f"No complete response within {timeout.total} s", request=request)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return APIConnectionError(
            f"Connection error: the proxy responded with status {error.status}",
            request=request,
            # Such as 407: the credentials are wrong. What a retry may help against is 5xx.
            is_final=error.status < 500,
        )
    if isinstance(error, (aiohttp.ClientResponseError, *NOT_HTTP)):
        said = getattr(error, "message", "")
        reason = f"the response is malformed: {said}"
    else:
        reason = f"{type(error).__name__}: {_text_of(error)}"
    return APIConnectionError(
        f"Connection error: {_without_bytes(reason)}",
        request=request,
        # ValueError: a host that cannot even be looked up, as a redirect may name one: "a..b".
        is_final=isinstance(error, aiohttp.ClientSSLError | ValueError),
    )


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return "no text"


def _without_bytes(reason: str) -> str:
    """Return the reason without the bytes it quotes: the server may repeat a key in them."""
    shown, *_ = re.split(r"\bb['\"]", printable(reason, _SHOWN_OF_A_REASON), maxsplit=1)
    return shown.rstrip(" :")
