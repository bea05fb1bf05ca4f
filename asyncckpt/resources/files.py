"""Downloads files, such as the result files of jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final, Unpack

import attrs

from asyncckpt.counts import RequestCounts
from asyncckpt.options import CallOptions, RequestOptions, show_call_options
from asyncckpt.protocol.headers import merge_headers
from asyncckpt.protocol.request import path_segment
from asyncckpt.resources.endpoint import Endpoint

if TYPE_CHECKING:
    from asyncckpt.transport.download import Download

__all__ = ["AsyncFiles", "file_download"]

_ANY_CONTENT: Final = {"Accept": "*/*"}


class AsyncFiles:
    """Files: ``client.files``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @show_call_options
    def content(self, file_id: str, **options: Unpack[CallOptions]) -> AsyncGenerator[bytes, None]:
        """Download a file in pieces, such as a result file of a job.

        Nothing is sent until the first piece is read. Memory does not grow with the file. If the
        connection breaks, the file is requested again, up to `max_retries` times, and no piece is
        yielded twice. Close the generator if you leave it early, for example with
        ``contextlib.aclosing``. API reference: *Retrieve file content*,
        ``GET /files/{file_id}/content``.

        Args:
            file_id: The id of the file, such as ``"file-abc123"``.
            **options: See `CallOptions`. `timeout` limits the wait for the first byte, and then
                each wait for more.

        Returns:
            An async generator of the bytes of the file, in order. It can raise `APIError`, any
            exception of an `api_key` callable, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument has the wrong type, or is unknown.
            ValueError: An argument has an invalid value, such as an id with a slash.
        """
        request = self._endpoint.options(self.content, options)
        # Error reports show local variables, and `extra_headers` and `extra_query` may hold a key.
        del options
        return _pieces(file_download(self._endpoint, path_segment("file_id", file_id), request))


async def _pieces(download: Download) -> AsyncGenerator[bytes, None]:
    try:
        await download.open()
        while piece := await download.read():
            yield piece
    finally:
        download.close()


def file_download(endpoint: Endpoint, segment: str, options: RequestOptions) -> Download:
    """Build the download of a file; nothing is sent yet.

    Args:
        endpoint: Where to send.
        segment: The id of the file, as a segment of the path.
        options: The options of the call.
    """
    from asyncckpt.transport.download import Download

    options = attrs.evolve(options, headers=merge_headers(options.headers, _ANY_CONTENT))
    query = endpoint.query(options, {})
    path = f"/files/{segment}/content"
    return Download(endpoint.session, endpoint.call(path, query, options, RequestCounts()))
