"""Redacts secrets in responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

import attrs
from multidict import CIMultiDict

from asyncckpt.messages import Response, is_public

_SHORTEST_SECRET: Final = 8
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
