"""Defines the arguments that all commands share, and opens the client."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, TypeAlias

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

from asyncckpt.cli.access import Access, created
from asyncckpt.cli.interrupts import run_until_interrupted
from asyncckpt.cli.terminal import UsageError

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.configuration import SharedOptions
    from asyncckpt.testing import Sandbox

__all__ = ["Connection", "FinitePositive", "finite"]

Work: TypeAlias = "Callable[[AsyncClient, Sandbox | None], Coroutine[object, object, None]]"
"""What a command does with a client. The sandbox is None without --sandbox."""


def finite(_: object, number: float | None) -> None:
    """Raise ValueError if a number is given that is not finite."""
    if number is not None and not math.isfinite(number):
        raise ValueError("Must be a finite number.")


FinitePositive = Parameter(validator=(Number(gt=0), finite))


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Connection:
    """How to reach the API; each attribute is an argument of the command.

    Args:
        base_url: URL of the API. Default: OPENAI_BASE_URL, or https://api.openai.com/v1.
        api_key_env: Environment variable with the API key. Default: OPENAI_API_KEY.
        azure: Use Azure OpenAI at AZURE_OPENAI_ENDPOINT, with AZURE_OPENAI_API_KEY.
        header_env: Header of a gateway, and variable with its value: HEADER=VARIABLE.
        timeout: Seconds for one attempt of a request. Default: 60, and 5 to connect.
        max_retries: Retries of a failed request. Default: 6.
        sandbox: Use a sandbox inside this command: no key, no network.
        verbose: Log retries, pauses and changes of the request rate to stderr.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    azure: Annotated[bool, Parameter(negative="", show_default=False)] = False
    header_env: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    timeout: Annotated[float | None, FinitePositive] = None
    max_retries: Annotated[int | None, Parameter(validator=Number(gte=0))] = None
    sandbox: Annotated[bool, Parameter(negative="", show_default=False)] = False
    verbose: Annotated[bool, Parameter(alias="-v", negative="", show_default=False)] = False

    def run(self, work: Work, sandbox: Callable[[], Sandbox] | None = None) -> None:
        """Connect, do the work and disconnect.

        Args:
            work: Gets a client, and the sandbox if there is one.
            sandbox: Returns the sandbox, if it is used; default: one with twelve jobs.

        Raises:
            UsageError: An argument or an environment variable is invalid.
            KeyboardInterrupt: Ctrl-C has cancelled the work.
            Exception: What the work raises.
        """
        others = {
            "--base-url": self.base_url is not None,
            "--azure": self.azure,
            "--header-env": bool(self.header_env),
        }
        for name, is_given in others.items():
            if self.sandbox and is_given:
                raise UsageError(f"--sandbox and {name} cannot be combined")
        options: SharedOptions = {}
        if self.timeout is not None:
            options["timeout"] = self.timeout
        if self.max_retries is not None:
            options["max_retries"] = self.max_retries
        if self.sandbox:
            run_until_interrupted(lambda: _with_sandbox(work, sandbox, options))
        else:
            access = Access(
                base_url=self.base_url,
                api_key_env=self.api_key_env,
                azure=self.azure,
                header_env=self.header_env,
            )
            run_until_interrupted(lambda: _with_api(work, access, options))


async def _with_api(work: Work, access: Access, options: SharedOptions) -> None:
    async with access.client(options) as client:
        await work(client, None)


async def _with_sandbox(
    work: Work, factory: Callable[[], Sandbox] | None, options: SharedOptions
) -> None:
    from asyncckpt.testing import Sandbox

    async with (
        (factory or Sandbox)() as sandbox,
        created(lambda: sandbox.client(**options)) as client,
    ):
        await work(client, sandbox)
