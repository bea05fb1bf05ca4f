"""The API key or token: given as it is, or asked for."""

import asyncio
import threading
import time
from typing import Any, NamedTuple

import pytest

from asyncckpt.transport.credentials import Credentials

from support import clock
from support.secrets import all_that_shows


class Vault:
    """Hands out keys one after another; holds every asker up until `opened`."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.opened = asyncio.Event()
        self.opened.set()

    async def __call__(self) -> Any:
        self.asked += 1
        await self.opened.wait()
        key = self.keys.pop(0)
        if isinstance(key, Exception):
            raise key
        return key


async def current(credentials: Credentials) -> str | None:
    """Ask for a key if that is necessary, and return the one that a request would be sent with."""
    if credentials.needs_key:
        await credentials.renew(0)
    header = credentials.authorize({}).get("Authorization")
    return None if header is None else header.removeprefix("Bearer ")


async def test_a_string_is_used_unchanged() -> None:
    credentials = Credentials("sk-1234567890")
    assert await current(credentials) == "sk-1234567890"
    assert credentials.secrets == ("sk-1234567890",)
    assert not await credentials.renew(0)


async def test_no_key() -> None:
    credentials = Credentials(None)
    assert await current(credentials) is None
    assert credentials.secrets == ()
    assert not await credentials.renew(0)


async def test_a_callable_is_called_once_when_a_key_is_needed() -> None:
    vault = Vault("sk-first")
    credentials = Credentials(vault)
    assert (vault.asked, credentials.secrets) == (0, ())
    assert [await current(credentials) for _ in range(3)] == ["sk-first"] * 3
    assert vault.asked == 1
    assert credentials.secrets == ("sk-first",)


async def test_many_at_once_ask_once() -> None:
    vault = Vault("sk-first", "sk-second")
    credentials = Credentials(vault)
    keys = await asyncio.gather(*(current(credentials) for _ in range(20)))
    assert (set(keys), vault.asked) == ({"sk-first"}, 1)
    renewed = await asyncio.gather(*(credentials.renew(1) for _ in range(20)))
    assert (set(renewed), vault.asked) == ({True}, 2)
    assert await current(credentials) == "sk-second"


async def test_the_rejection_of_an_older_key_does_not_request_a_new_one() -> None:
    vault = Vault("sk-first", "sk-second")
    credentials = Credentials(vault)
    await current(credentials)
    assert await credentials.renew(1)
    assert await credentials.renew(1)
    assert vault.asked == 2


async def test_the_same_key_again_is_not_a_new_key() -> None:
    vault = Vault("sk-first", "sk-first", "sk-second")
    credentials = Credentials(vault)
    await current(credentials)
    assert not await credentials.renew(credentials.version)
    assert await credentials.renew(credentials.version)


async def test_an_exception_of_the_callable_is_raised_and_it_can_be_called_again() -> None:
    vault = Vault(LookupError("vault is sealed"), "sk-first", LookupError("again"))
    credentials = Credentials(vault)
    with pytest.raises(LookupError, match="sealed"):
        await current(credentials)
    assert await current(credentials) == "sk-first"
    with pytest.raises(LookupError, match="again"):
        await credentials.renew(1)
    assert await current(credentials) == "sk-first"


async def test_a_cancelled_caller_does_not_block_the_others() -> None:
    vault = Vault("sk-first")
    vault.opened.clear()
    credentials = Credentials(vault)
    asking = asyncio.create_task(current(credentials))
    waiting = asyncio.create_task(current(credentials))
    while not vault.asked:
        await asyncio.sleep(0)
    asking.cancel()
    vault.opened.set()
    assert await waiting == "sk-first"
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert vault.asked == 2


def test_many_at_once_ask_once_in_one_event_loop_after_another() -> None:
    keys = ["sk-first", "sk-second", "sk-third"]

    async def ask() -> str:
        # The others come to wait meanwhile.
        await asyncio.sleep(0)
        return keys.pop(0)

    credentials = Credentials(ask)

    async def renew(version: int) -> list[bool]:
        return await asyncio.gather(*(credentials.renew(version) for _ in range(3)))

    assert asyncio.run(renew(0)) == [True] * 3
    assert asyncio.run(renew(1)) == [True] * 3
    # An earlier key stays a secret: a late response may repeat it.
    assert credentials.secrets == ("sk-first", "sk-second")


NO_KEYS = [
    "",
    " ",
    "sk-hidden\n",
    " sk-hidden",
    "sk-hiddén",
    "\tsk-hidden",
    "sk-hidden\0",
    "sk-hidden\r\n",
]


@pytest.mark.parametrize("key", NO_KEYS)
def test_a_key_that_cannot_be_sent_is_rejected_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="^api_key is empty, or contains") as caught:
        Credentials(key)
    assert "hidd" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("key", NO_KEYS)
async def test_a_key_of_a_callable_that_cannot_be_sent_is_rejected_and_not_kept(key: str) -> None:
    credentials = Credentials(Vault(key, "sk-first"))
    with pytest.raises(ValueError, match="^the api_key callable is empty, or contains") as caught:
        await current(credentials)
    assert "hidd" not in str(caught.value)
    assert await current(credentials) == "sk-first"


@pytest.mark.parametrize("key", [5, b"sk-hidden", ["sk-hidden"]])
async def test_a_key_must_be_a_string(key: Any) -> None:
    with pytest.raises(TypeError, match="must give a string, not"):
        Credentials(key)
    with pytest.raises(TypeError, match="^the api_key callable must give a string, not"):
        await current(Credentials(Vault(key)))


async def test_a_key_is_never_shown() -> None:
    for credentials in (Credentials("sk-hidden"), Credentials(Vault("sk-hidden"))):
        await current(credentials)
        assert "sk-hidden" not in f"{credentials} {credentials!r}"


async def test_a_key_is_compared_with_the_one_before_it() -> None:
    credentials = Credentials(Vault("sk-first", "sk-second", "sk-second", "sk-first"))
    await current(credentials)
    assert await credentials.renew(credentials.version)
    assert not await credentials.renew(credentials.version)
    assert await credentials.renew(credentials.version)
    assert await current(credentials) == "sk-first"


async def test_the_latest_eight_keys_are_kept_to_be_redacted() -> None:
    keys = [f"sk-key-{number}" for number in range(10)]
    credentials = Credentials(Vault(*keys))
    for _ in keys:
        await credentials.renew(credentials.version)
    assert credentials.secrets == tuple(keys[-8:])


class Token(NamedTuple):
    """As `azure.core.credentials.AccessToken`."""

    token: str
    expires_on: int


class Provider:
    """A token provider that is not async; it notes in which thread it is called."""

    def __init__(self, *tokens: Any) -> None:
        self.tokens = list(tokens)
        self.threads: list[int] = []

    @property
    def asked(self) -> int:
        return len(self.threads)

    def __call__(self) -> Any:
        self.threads.append(threading.get_ident())
        return self.tokens.pop(0)


async def test_a_provider_that_is_not_async_is_called_in_a_thread() -> None:
    provider = Provider("ey.first")
    assert await current(Credentials(None, token=provider)) == "ey.first"
    assert provider.threads != [threading.get_ident()]


@pytest.mark.parametrize("kind", ["function", "object", "lambda"])
async def test_an_async_provider_is_called_in_the_event_loop(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    if kind != "lambda":
        # That one does not look async until it has been called.
        monkeypatch.delattr(asyncio, "to_thread")

    async def provider() -> str:
        # A `run_in_executor` of its own, or an async credential, needs the running loop.
        threads.append(threading.get_ident())
        return "ey.first"

    class Callable:
        async def __call__(self) -> str:
            return await provider()

    forms: dict[str, Any] = {
        "function": provider,
        "object": Callable(),
        "lambda": lambda: provider(),  # noqa: PLW0108  (it is not a coroutine function)
    }
    assert await current(Credentials(None, token=forms[kind])) == "ey.first"
    assert threads == [threading.get_ident()]


def test_a_token_that_is_a_string_is_used_for_a_minute() -> None:
    # Not in a thread: those know nothing of a virtual clock.
    provider = Vault("ey.first", "ey.first", "ey.second")

    async def main() -> None:
        credentials = Credentials(None, token=provider)
        assert await current(credentials) == "ey.first"
        await asyncio.sleep(59)
        assert not credentials.needs_key
        for token in ("ey.first", "ey.second"):
            await asyncio.sleep(60)
            assert credentials.needs_key
            await asyncio.gather(*(credentials.renew(credentials.version) for _ in range(20)))
            assert credentials.key == token
            assert not credentials.needs_key
        assert credentials.secrets == ("ey.first", "ey.second")

    clock.run(main())
    assert provider.asked == 3


@pytest.mark.parametrize(
    ("valid", "used"),
    [(3600, 3300), (400, 200), (10, 5), (0, 60), (-3600, 60)],
)
def test_a_token_is_renewed_five_minutes_before_it_expires(valid: int, used: int) -> None:
    provider = Vault(Token("ey.first", int(time.time()) + valid))

    async def main() -> None:
        credentials = Credentials(None, token=provider)
        assert await current(credentials) == "ey.first"
        # The test may have begun at the end of a second.
        await asyncio.sleep(used - 3 if used > 5 else 0)
        assert not credentials.needs_key
        await asyncio.sleep(6)
        assert credentials.needs_key

    clock.run(main())


async def test_an_async_provider_may_return_a_token_that_says_when_it_expires() -> None:
    credentials = Credentials(None, token=Vault(Token("ey.first", 2**31)))
    assert await current(credentials) == "ey.first"


async def test_a_rejected_token_is_asked_for_again_and_may_be_the_same() -> None:
    credentials = Credentials(None, token=Provider("ey.first", "ey.first", "ey.second"))
    await current(credentials)
    assert not await credentials.renew(credentials.version)
    assert await credentials.renew(credentials.version)


@pytest.mark.parametrize("wrong", ["", "ey.hidden\n", None, b"ey.hidden", Token("ey.hidden\n", 1)])
async def test_a_token_that_cannot_be_sent_is_rejected_and_not_shown(wrong: Any) -> None:
    credentials = Credentials(None, token=Provider(wrong))
    with pytest.raises((TypeError, ValueError), match="^the token provider ") as caught:
        await credentials.renew(0)
    assert not [shown for shown in all_that_shows(caught.value) if "hidden" in shown]
    assert credentials.needs_key


async def test_a_provider_that_cannot_be_reached_raises_its_own_exception() -> None:
    def provider() -> str:
        raise LookupError("no identity")

    with pytest.raises(LookupError, match="no identity"):
        await Credentials(None, token=provider).renew(0)


async def test_a_provider_without_another_token_raises_at_once() -> None:
    tokens = iter(["ey.first"])
    credentials = Credentials(None, token=lambda: next(tokens))
    await credentials.renew(0)
    with pytest.raises(RuntimeError, match="^the token provider raised StopIteration$"):
        await credentials.renew(1)


async def test_a_fixed_token() -> None:
    credentials = Credentials(None, token="ey.fixed", key_header="api-key")
    assert credentials.authorize({}) == {"Authorization": "Bearer ey.fixed"}
    assert not credentials.can_renew
