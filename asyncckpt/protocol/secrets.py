r"""Redacts secrets in what the server sent, however it spells them.

A server may repeat the key of a request in any encoding: in JSON (``\u0073k-…``, ``\/``), in a URL
(``%73k-…``), in HTML (``&#115;k-…``, ``&sol;``), one inside another (``%2573k-…``), or a mixture.
`mask` compares what the text stands for, not its bytes. At each position it considers the byte
itself and every escape that begins there, up to `_DEPTH` escapes inside one another, and looks
whether a sequence of them spells a secret. Upper and lower case are the same, since names of
headers and hosts change it. So are UTF-16 and ASCII, in which a zero byte lies between two letters.

Secrets shorter than `SHORTEST_SECRET` characters are not masked: they would mask ordinary words.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
import string
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs
from multidict import CIMultiDict

from asyncckpt.messages import Request, Response, is_public

__all__ = [
    "KEPT_OF_A_BODY",
    "KEPT_OF_HEADERS",
    "SHORTEST_SECRET",
    "mask",
    "mask_text",
    "masked",
    "masked_request",
    "masked_url",
    "secrets_in",
]

SHORTEST_SECRET: Final = 8
"""Shorter secrets are not masked, in characters."""

KEPT_OF_A_BODY: Final = 16_384
"""How much of a body `masked` keeps, in bytes."""

KEPT_OF_HEADERS: Final = 16_384
"""How much of the headers `masked` keeps, in characters.

To mask takes time in proportion: a megabyte of escapes would stop the event loop for seconds.
"""

_MASK: Final = b"***"
_DEPTH: Final = 3
# A character of four bytes in UTF-8, percent-encoded and that three times over, and some more.
_LONGEST_SPELLING: Final = 64
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
_ESCAPES: Final = frozenset("%\\&")
_JSON_ESCAPES: Final = {
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "/": "/",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "u": "",
    "x": "",
}
_DIGITS: Final = frozenset(string.digits)
_HEX_DIGITS: Final = frozenset(string.hexdigits)
_LETTERS: Final = frozenset(string.ascii_letters + string.digits)
_LOWER_CASE: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def masked(response: Response, secrets: Iterable[str]) -> Response:
    """Return the response without secrets, and with a bounded excerpt of its body and headers.

    Headers that do not fit beside those before them are left out.

    Args:
        response: The response.
        secrets: What must not show in its body, its headers and their names, and its URL.
    """
    known = _usable(secrets)
    return attrs.evolve(
        response,
        content=_masked_bytes(response.content, known, KEPT_OF_A_BODY),
        headers=CIMultiDict(
            (_masked_text(name, known), _masked_text(value, known))
            for name, value in _excerpt(response.headers)
        ),
        request=masked_request(response.request, known),
    )


def _excerpt(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    left = KEPT_OF_HEADERS
    for name, value in headers.items():
        if len(name) + len(value) <= left:
            left -= len(name) + len(value)
            yield name, value


def masked_request(request: Request, secrets: Iterable[str]) -> Request:
    """Return the request without secrets in its URL, such as one that a redirect led to."""
    # Also without those that `Request.url` masks: the original is in a private attribute.
    return attrs.evolve(request, url=mask_text(request.url, secrets))


def masked_url(url: str, secrets: Iterable[str]) -> str:
    """Return a URL that the client has built without secrets.

    The query is decoded first. In an encoded one, every ``&`` and ``%`` may begin an escape, which
    takes several times as long to rule out.

    Args:
        url: The URL. The values of its query parameters are encoded, so none crosses its end.
        secrets: What must not show. Values of parameters that the API does not define do not
            either.
    """
    head, _, query = url.partition("?")
    parts = [head]
    for name, value in parse_qsl(query, keep_blank_values=True):
        parts += name, value if is_public(name) else "***"
    known = _usable(secrets)
    # No secret has a line break in it.
    shown = _masked_text("\n".join(parts), known).split("\n")
    if len(shown) != len(parts):
        shown = [_masked_text(part, known) for part in parts]
    query = urlencode(list(zip(shown[1::2], shown[2::2], strict=True)), safe="*[]")
    return f"{shown[0]}?{query}" if query else shown[0]


def mask(content: bytes, secrets: Iterable[str]) -> bytes:
    """Return the bytes with ``***`` in place of every secret."""
    return _masked_bytes(content, _usable(secrets), None)


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """Return the text with ``***`` in place of every secret."""
    return _masked_text(text, _usable(secrets))


def secrets_in(headers: Mapping[str, str], url: str) -> list[str]:
    """Return what must not show of a request.

    These are the words of the values of headers and of query parameters that are not public, since
    ``Bearer <key>`` is two words; what ``name=value`` assigns; and what ``Basic <credentials>``
    stands for.
    """
    values = [value for name, value in headers.items() if name.lower() not in _PUBLIC_HEADERS]
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    values += [value for name, value in query if not is_public(name)]
    words = [word.strip(";,") for value in values for word in value.split()]
    assigned = [word.partition("=")[2].strip("\"'") for word in words]
    decoded = [part for value in values for part in _basic_credentials(value)]
    return [*words, *assigned, *decoded]


def _basic_credentials(value: str) -> list[str]:
    """Return the user and password in a value of ``Authorization: Basic`` (RFC 7617)."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return []
    return [decoded, decoded.partition(":")[2]]


def _usable(secrets: Iterable[str]) -> list[str]:
    # The longest first, for one may begin with another.
    usable = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    return sorted(usable, key=len, reverse=True)


def _masked_text(text: str, secrets: Sequence[str]) -> str:
    # A header that is not UTF-8 has surrogates in it (PEP 383), and so may a JSON string.
    content = text.encode("utf-8", "surrogatepass")
    return _masked_bytes(content, secrets, None).decode("utf-8", "surrogatepass")


def _masked_bytes(content: bytes, secrets: Sequence[str], kept: int | None) -> bytes:
    """Return the first `kept` bytes without secrets; one that crosses the end is masked too."""
    if kept is not None and len(content) > kept:
        longest = max(
            (len(secret.encode("utf-8", "surrogatepass")) for secret in secrets), default=0
        )
        content = content[: kept + longest * _LONGEST_SPELLING]
    else:
        kept = len(content)
    pieces: list[bytes] = []
    end = 0
    for start, stop in _Spellings(content).find(secrets):
        if start >= kept:
            break
        pieces += content[end:start], _MASK
        end = stop
    pieces.append(content[end:kept])
    return b"".join(pieces)


class _Spellings:
    """What the positions of a text stand for.

    Text and secrets are compared as UTF-8, one character for each byte, in lower case. A reading is
    what may be spelled at a position, with the position after it.

    Args:
        content: The text.
    """

    def __init__(self, content: bytes) -> None:
        self._text = content.lower().decode("latin-1")
        self._known: dict[tuple[int, int], list[tuple[str, int]]] = {}

    def find(self, secrets: Sequence[str]) -> list[tuple[int, int]]:
        """Return where secrets are spelled, in order and without overlap."""
        encoded = [_utf8(secret) for secret in secrets]
        if not encoded:
            return []
        if not re.search(r"[\\%&\0]", self._text):
            # Nothing but the secret itself can spell it.
            pattern = "|".join(map(re.escape, encoded))
            return [found.span() for found in re.finditer(pattern, self._text)]
        first_characters = "".join({secret[0] for secret in encoded})
        candidates = re.compile(f"[{re.escape(first_characters)}\\\\%&]")
        found: list[tuple[int, int]] = []
        position = 0
        while (candidate := candidates.search(self._text, position)) is not None:
            start = candidate.start()
            position = max((self._end_of(secret, start) for secret in encoded), default=start)
            if position > start:
                found.append((start, position))
            else:
                position += 1
        return found

    def _end_of(self, secret: str, start: int) -> int:
        """Return where a secret ends that is spelled from `start`; `start` if there is none."""
        longest = start
        states = [(start, 0)]
        seen = set(states)
        while states:
            position, matched = states.pop()
            if matched == len(secret):
                longest = max(longest, position)
                continue
            for spelled, end in self._readings(position, _DEPTH):
                state = end, matched + len(spelled)
                if secret.startswith(spelled, matched) and state not in seen:
                    seen.add(state)
                    states.append(state)
        return longest

    def _readings(self, position: int, depth: int) -> list[tuple[str, int]]:
        """Return the byte at a position, and what escapes that begin there stand for."""
        while self._text.startswith("\0", position):
            position += 1
        character = self._text[position : position + 1]
        if depth == 0 or character not in _ESCAPES:
            return [(character, position + 1)] if character else []
        readings = self._known.get((position, depth))
        if readings is None:
            readings = self._readings(position, depth - 1)
            for escape, end in readings:
                decoded = self._decoded(escape, end, depth - 1)
                if decoded is not None and decoded not in readings:
                    readings = [*readings, decoded]
            self._known[position, depth] = readings
        return readings

    def _decoded(self, escape: str, position: int, depth: int) -> tuple[str, int] | None:
        if escape == "%":
            return self._percent(position, depth)
        if escape == "\\":
            return self._backslash(position, depth)
        if escape == "&":
            return self._ampersand(position, depth)
        return None

    def _next(
        self, position: int, depth: int, allowed: Container[str]
    ) -> tuple[str, int] | tuple[None, int]:
        """Return the first reading at a position that is allowed there."""
        for spelled, end in self._readings(position, depth):
            if spelled in allowed:
                return spelled, end
        return None, position

    def _digits(
        self, position: int, depth: int, allowed: Container[str], most: int
    ) -> tuple[str, int]:
        digits = ""
        while len(digits) < most:
            digit, position = self._next(position, depth, allowed)
            if digit is None:
                break
            digits += digit
        return digits, position

    def _percent(self, position: int, depth: int) -> tuple[str, int] | None:
        """Return the byte that two hexadecimal digits stand for (RFC 3986, section 2.1)."""
        digits, end = self._digits(position, depth, _HEX_DIGITS, 2)
        return (chr(int(digits, 16)).translate(_LOWER_CASE), end) if len(digits) == 2 else None

    def _backslash(self, position: int, depth: int) -> tuple[str, int] | None:
        """Return the character that a JSON string escapes (RFC 8259, section 7)."""
        kind, end = self._next(position, depth, _JSON_ESCAPES)
        if kind is None:
            return None
        if kind == "x":
            return self._percent(end, depth)
        if kind != "u":
            return _JSON_ESCAPES[kind], end
        digits, end = self._digits(end, depth, _HEX_DIGITS, 4)
        if len(digits) < 4:
            return None
        if 0xD800 <= int(digits, 16) < 0xDC00:
            backslash, after = self._next(end, depth, "\\")
            kind, after = self._next(after, depth, "u")
            low, after = self._digits(after, depth, _HEX_DIGITS, 4)
            if backslash and kind and len(low) == 4:
                digits, end = digits + low, after
        return _utf8(bytes.fromhex(digits).decode("utf-16-be", "surrogatepass")), end

    def _ampersand(self, position: int, depth: int) -> tuple[str, int] | None:
        """Return the character of an HTML entity: decimal, hexadecimal or named."""
        number_sign, after = self._next(position, depth, "#")
        if number_sign is None:
            entities, longest = _entities()
            name, after = self._digits(position, depth, _LETTERS, longest)
            semicolon, end = self._next(after, depth, ";")
            return (_utf8(entities[name]), end) if semicolon and name in entities else None
        x, after = self._next(after, depth, "x")
        base = 16 if x else 10
        digits, end = self._digits(after, depth, _HEX_DIGITS if x else _DIGITS, 20)
        _, end = self._next(end, depth, ";")
        if not digits or (code := int(digits, base)) > 0x10FFFF:
            return None
        return _utf8(chr(code)), end


def _utf8(text: str) -> str:
    """Return the text in lower case, one character for each byte of its UTF-8."""
    return text.encode("utf-8", "surrogatepass").lower().decode("latin-1")


@functools.cache
def _entities() -> tuple[Mapping[str, str], int]:
    """Return the names of HTML entities with their characters, and the length of the longest."""
    # There are thousands, and most programs receive none.
    from html.entities import html5

    # Text is compared in lower case; where two names differ in case only, the lower one is the
    # common.
    entities = {
        name[:-1].lower(): html5.get(name.lower(), value)
        for name, value in html5.items()
        if name.endswith(";")
    }
    return entities, max(map(len, entities))
