"""Archives many accounts on a Dask cluster: one task for each account.

The rate limit of the API belongs to an account. One process is enough for one account, and more
machines help as soon as there are more accounts. Run it with a file of accounts, such as ::

    {
        "search": {"api_key_env": "SEARCH_KEY"},
        "support": {"api_key_env": "SUPPORT_KEY", "base_url": "https://example.com/v1"},
    }

and a directory that all workers share::

    python archive_on_dask.py accounts.json /mnt/archives --scheduler tcp://10.0.0.1:8786

The workers read the keys from their own environment, so no key goes through the scheduler. Without
``--scheduler``, a cluster is started on this machine.
"""

# Parts of Dask have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
from distributed import Client, Future, LocalCluster, as_completed

from asyncckpt import AsyncClient
from asyncckpt.export import archive


@attrs.frozen
class Account:
    """An account to archive.

    Args:
        name: The name of its directory.
        api_key_env: The environment variable of the workers that contains its key.
        base_url: The URL of its API; None for OpenAI's.
    """

    name: str
    api_key_env: str
    base_url: str | None = None


@attrs.frozen
class Summary:
    """What became of an account; a worker returns it through the scheduler."""

    account: str
    jobs: int
    checkpoints: int
    fetched_jobs: int
    failed_jobs: int
    seconds: float


def archive_account(account: Account, directory: str) -> Summary:
    """Archive one account; this runs in a thread of a worker.

    A task that Dask repeats, because its worker died or because of an error, continues the archive
    where it was.
    """
    return asyncio.run(_archive(account, Path(directory, account.name)))


async def _archive(account: Account, directory: Path) -> Summary:
    api_key = os.environ[account.api_key_env]
    async with AsyncClient(api_key=api_key, base_url=account.base_url) as client:
        result = await archive(client, directory)
    return Summary(
        account=account.name,
        jobs=result.jobs,
        checkpoints=result.checkpoints,
        fetched_jobs=result.fetched_jobs,
        failed_jobs=len(result.failures),
        seconds=result.duration,
    )


def archive_accounts(
    client: Client, accounts: list[Account], directory: str
) -> Iterator[Summary | tuple[str, BaseException]]:
    """Archive accounts on a cluster.

    Args:
        client: The client of the cluster.
        accounts: The accounts.
        directory: A directory that all workers share.

    Yields:
        A summary for each account, in the order in which they are complete; or its name and the
        error that ended its last attempt.
    """
    futures: Mapping[Future[Summary], str] = {
        # Not pure: the same account may be archived again tomorrow.
        client.submit(archive_account, account, directory, retries=2, pure=False): account.name
        for account in accounts
    }
    for future in as_completed(futures):
        error = future.exception()
        yield future.result() if error is None else (futures[future], error)


def main() -> int:
    """Read the arguments, and archive; return the exit code."""
    parser = argparse.ArgumentParser(description="Archive many accounts on a Dask cluster.")
    parser.add_argument("accounts", type=Path, help="a JSON file of accounts")
    parser.add_argument("directory", help="a directory that all workers share")
    parser.add_argument("--scheduler", help="the address of a scheduler; default: a local cluster")
    arguments = parser.parse_args()
    accounts = [
        Account(name, **settings)
        for name, settings in json.loads(arguments.accounts.read_text("utf-8")).items()
    ]
    failed = False
    with Client(arguments.scheduler or LocalCluster(dashboard_address=":0")) as client:
        for outcome in archive_accounts(client, accounts, arguments.directory):
            if isinstance(outcome, Summary):
                sys.stdout.write(
                    f"{outcome.account}: {outcome.jobs} jobs, {outcome.checkpoints} checkpoints; "
                    f"fetched {outcome.fetched_jobs} jobs in {outcome.seconds:.1f} s, "
                    f"{outcome.failed_jobs} failed\n"
                )
                failed |= outcome.failed_jobs > 0
            else:
                name, error = outcome
                sys.stderr.write(f"{name}: {error}\n")
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
