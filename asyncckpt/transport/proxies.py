"""Finds the proxy of a URL in the environment, and its credentials."""

from __future__ import annotations

import base64
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.request import getproxies, proxy_bypass

import attrs
from yarl import URL

__all__ = ["Proxy", "basic_authorization", "netrc_login", "proxy_for"]

_NO_HEADERS: Final[Mapping[str, str]] = {}


@attrs.frozen
class Proxy:
    """A proxy.

    Attributes:
        url: Where it is, without credentials.
        headers: The headers that authenticate the client to the proxy; empty without credentials.
    """

    url: URL
    headers: Mapping[str, str] = attrs.field(repr=False)


def proxy_for(url: URL) -> Proxy | None:
    """Return the proxy that the environment names for a URL, or None.

    ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` are read as `urllib.request` reads them.
    Credentials come from the proxy's URL, or else from the netrc file. A proxy that is itself
    reached over TLS is not supported, as in aiohttp.
    """
    if not url.host or proxy_bypass(url.host):
        return None
    named = getproxies().get(url.scheme)
    if named is None:
        return None
    proxy = URL(named)
    if proxy.scheme != "http" or not proxy.host:
        return None
    login = (proxy.user or "", proxy.password or "") if proxy.user or proxy.password else None
    login = login or netrc_login(proxy.host)
    headers = {"Proxy-Authorization": basic_authorization(*login)} if login else _NO_HEADERS
    return Proxy(proxy.with_user(None), headers)


def netrc_login(host: str) -> tuple[str, str] | None:
    """Return the user and the password of a host in the netrc file, or None."""
    path = os.environ.get("NETRC") or Path("~/.netrc").expanduser()
    try:
        found = netrc.netrc(str(path)).authenticators(host)
    except (OSError, UnicodeError, netrc.NetrcParseError):
        return None
    if found is None:
        return None
    login, account, password = found
    return login or account or "", password or ""


def basic_authorization(user: str, password: str) -> str:
    """Return the value of a header for Basic authentication (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
