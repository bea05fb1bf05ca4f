"""The API key: given as it is, or asked for."""

import asyncio
from typing import Any

import pytest

from asyncckpt.transport.credentials import Credentials


class Vault:
    """Hands out keys one after another; holds every asker up until `opened`."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.opened = asyncio.Event()
        self.opened.set()

    async def __call__(self) -> str:
        self.asked += 1
        await self.opened.wait()
        key = self.keys.pop(0)
        if isinstance(key, Exception):
            raise key
        return key


async def test_a_key_is_given_as_it_is() -> None:
    credentials = Credentials("sk-1234567890")
    assert await credentials.current() == "sk-1234567890"
    assert credentials.secrets == ("sk-1234567890",)
    assert not await credentials.renew("sk-1234567890")


async def test_no_key() -> None:
    credentials = Credentials(None)
    assert await credentials.current() is None
    assert credentials.secrets == ()
    assert not await credentials.renew(None)


async def test_a_callable_is_asked_when_a_key_is_needed_and_only_once() -> None:
    vault = Vault("sk-first")
    credentials = Credentials(vault)
    assert (vault.asked, credentials.secrets) == (0, ())
    assert [await credentials.current() for _ in range(3)] == ["sk-first"] * 3
    assert vault.asked == 1
    assert credentials.secrets == ("sk-first",)


async def test_many_at_once_ask_once() -> None:
    vault = Vault("sk-first", "sk-second")
    credentials = Credentials(vault)
    keys = await asyncio.gather(*(credentials.current() for _ in range(20)))
    assert (set(keys), vault.asked) == ({"sk-first"}, 1)
    renewed = await asyncio.gather(*(credentials.renew("sk-first") for _ in range(20)))
    assert (set(renewed), vault.asked) == ({True}, 2)
    assert await credentials.current() == "sk-second"


async def test_a_refusal_of_an_older_key_asks_for_no_other() -> None:
    vault = Vault("sk-first", "sk-second")
    credentials = Credentials(vault)
    await credentials.current()
    assert await credentials.renew("sk-first")
    assert await credentials.renew("sk-first")
    assert vault.asked == 2


async def test_the_same_key_again_is_no_other_key() -> None:
    vault = Vault("sk-first", "sk-first", "sk-second")
    credentials = Credentials(vault)
    await credentials.current()
    assert not await credentials.renew("sk-first")
    assert await credentials.renew("sk-first")


async def test_what_the_callable_raises_comes_out_and_the_next_may_ask_again() -> None:
    vault = Vault(LookupError("vault is sealed"), "sk-first", LookupError("again"))
    credentials = Credentials(vault)
    with pytest.raises(LookupError, match="sealed"):
        await credentials.current()
    assert await credentials.current() == "sk-first"
    with pytest.raises(LookupError, match="again"):
        await credentials.renew("sk-first")
    assert await credentials.current() == "sk-first"


async def test_one_that_is_cancelled_while_it_asks_holds_nobody_up() -> None:
    vault = Vault("sk-first")
    vault.opened.clear()
    credentials = Credentials(vault)
    asking = asyncio.create_task(credentials.current())
    waiting = asyncio.create_task(credentials.current())
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

    async def renew(refused: str | None) -> list[bool]:
        return await asyncio.gather(*(credentials.renew(refused) for _ in range(3)))

    assert asyncio.run(renew(None)) == [True] * 3
    assert asyncio.run(renew("sk-first")) == [True] * 3
    assert credentials.secrets == ("sk-second",)


NO_KEYS = [
    "",
    " ",
    "sk-hidden\n",
    "sk hidden",
    "sk-hiddén",
    "\tsk-hidden",
    "sk-hidden\0",
    "sk-hidden\r\n",
]


@pytest.mark.parametrize("key", NO_KEYS)
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="^api_key is empty, or has") as caught:
        Credentials(key)
    assert "hidd" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("key", NO_KEYS)
async def test_a_callables_key_that_cannot_be_sent_is_refused_and_not_kept(key: str) -> None:
    credentials = Credentials(Vault(key, "sk-first"))
    with pytest.raises(ValueError, match="^the api_key callable is empty, or has") as caught:
        await credentials.current()
    assert "hidd" not in str(caught.value)
    assert await credentials.current() == "sk-first"


@pytest.mark.parametrize("key", [5, b"sk-hidden", ["sk-hidden"]])
async def test_what_is_no_string(key: Any) -> None:
    with pytest.raises(TypeError, match="must give a string, not"):
        Credentials(key)
    with pytest.raises(TypeError, match="^the api_key callable must give a string, not"):
        await Credentials(Vault(key)).current()


async def test_never_shows() -> None:
    for credentials in (Credentials("sk-hidden"), Credentials(Vault("sk-hidden"))):
        await credentials.current()
        assert "sk-hidden" not in f"{credentials} {credentials!r}"
