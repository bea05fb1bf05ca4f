import base64
from pathlib import Path

import pytest
from yarl import URL

from asyncckpt.transport.proxies import netrc_login, proxy_for

TARGET = URL("https://api.openai.com")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return monkeypatch


def basic(text: str) -> dict[str, str]:
    return {"Proxy-Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_no_proxy() -> None:
    assert proxy_for(TARGET) is None


@pytest.mark.parametrize(
    ("named", "url", "headers"),
    [
        ("http://proxy.test:3128", "http://proxy.test:3128", {}),
        ("http://us:pass@proxy.test:3128", "http://proxy.test:3128", basic("us:pass")),
        ("http://us@proxy.test", "http://proxy.test", basic("us:")),
        ("http://:pass@proxy.test", "http://proxy.test", basic(":pass")),
        ("http://%C3%BC:p%40ss%3A@proxy.test", "http://proxy.test", basic("ü:p@ss:")),
    ],
)
def test_a_proxy(
    named: str, url: str, headers: dict[str, str], environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTPS_PROXY", named)
    proxy = proxy_for(TARGET)
    assert proxy is not None
    assert (proxy.url, dict(proxy.headers)) == (URL(url), headers)
    assert "Basic" not in repr(proxy)
    assert proxy_for(URL("http://api.openai.com")) is None


def test_hosts_without_a_proxy(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "http://proxy.test")
    environment.setenv("NO_PROXY", "openai.com")
    assert proxy_for(TARGET) is None
    assert proxy_for(URL("https://elsewhere.test")) is not None


@pytest.mark.parametrize("named", ["https://proxy.test", "socks5://proxy.test", "http://"])
def test_proxies_that_are_not_supported(named: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", named)
    assert proxy_for(TARGET) is None


def test_a_login_of_the_netrc_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine proxy.test login us password pass\n")
    environment.setenv("HTTPS_PROXY", "http://proxy.test")
    proxy = proxy_for(TARGET)
    assert proxy is not None
    assert dict(proxy.headers) == basic("us:pass")
    assert netrc_login("elsewhere.test") is None


@pytest.mark.parametrize("content", [b"machine", b"\xff", b"\0"])
def test_a_netrc_file_that_is_malformed(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_bytes(content)
    assert netrc_login("proxy.test") is None
