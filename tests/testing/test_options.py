"""The arguments that a client of the sandbox takes."""

import inspect

from asyncckpt import AsyncClient
from asyncckpt.testing.options import ClientOptions


def test_they_are_the_arguments_of_a_client() -> None:
    assert ClientOptions.__annotations__.keys() == inspect.signature(AsyncClient).parameters.keys()
