"""Replies out of bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ._protocol import BODY_LIMIT, HEAD_LIMIT, Reply, Unanswered

if TYPE_CHECKING:
    from httptools import HttpResponseParser

_INFORMATION = range(100, 200)
_BODILESS = (204, 304)


class Reader:
    """Reads one reply after another, of any connections.

    A connection that waits for its reply has none: most connections only wait, and the parser is
    the largest part of this.
    """

    __slots__ = (
        "_body",
        "_endless",
        "_errors",
        "_fields",
        "_head_size",
        "_headers",
        "_parser",
        "_status",
        "complete",
        "reusable",
    )

    def __init__(self) -> None:
        import httptools

        self._errors = (httptools.HttpParserError, httptools.HttpParserUpgrade)
        self._parser: HttpResponseParser = httptools.HttpResponseParser(self)
        self._begin()
        self.complete = False
        self.reusable = True

    def feed(self, data: bytes) -> bool:
        """Take in what came from the server; tell whether the reply is complete.

        Raises:
            Unanswered: it is no reply, or too large; `written` is True.
        """
        try:
            self._parser.feed_data(data)
        except self._errors as error:
            self.reusable = False
            if self.complete:
                return True  # what follows the reply is no concern of this call
            cause = error.__context__
            if isinstance(cause, Unanswered):
                raise cause from None
            raise Unanswered(
                f"what the server sent is no HTTP reply ({error})", written=True, why="malformed"
            ) from error
        if not self._status:  # the parser keeps what is incomplete, however long it is
            self._head_size += len(data)
            if self._head_size > HEAD_LIMIT:
                raise _long_head()
        return self.complete

    def end(self) -> bool:
        """Know that the connection has ended; tell whether the reply is complete with that."""
        self.reusable = False
        self.complete = self.complete or self._endless
        return self.complete

    def take(self) -> Reply:
        """Return the complete reply and be ready for the next one."""
        reply = Reply(self._status, self._headers, self._body)
        self._begin()
        self.complete = False
        return reply

    def _begin(self) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._fields = 0
        self._body: bytes | bytearray = b""
        self._endless = False

    # -- called by the parser -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Know that a reply begins. One that comes after the reply was never asked for."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header in."""
        if self.complete:
            return
        # Those behind a chunked body count, too, and those that come at once with all the others.
        self._fields += len(name) + len(value)
        if self._fields > HEAD_LIMIT:
            raise _long_head()
        self._headers[_lower(name)] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Know the status, and how much is to come."""
        if self.complete:
            return
        self._status = self._parser.get_status_code()
        length = self._headers.get("content-length")
        if length is not None:
            if int(length) > BODY_LIMIT:
                raise _oversized()
        elif "transfer-encoding" not in self._headers:
            self._endless = self._status not in _BODILESS and self._status not in _INFORMATION

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body in."""
        if self.complete:
            return
        body = self._body
        if not body:
            self._body = data
        elif isinstance(body, bytearray):
            body += data
        else:
            self._body = bytearray(body)
            self._body += data
        if len(self._body) > BODY_LIMIT:
            raise _oversized()

    def on_message_complete(self) -> None:
        """Know that the reply is complete, unless it was one of information."""
        if self._status in _INFORMATION:
            self._begin()
        elif not self.complete:
            self.complete = True
            if not self._parser.should_keep_alive():
                self.reusable = False


def _long_head() -> Unanswered:
    return Unanswered(
        f"the reply's headers are larger than {HEAD_LIMIT} bytes", written=True, why="oversized"
    )


def _oversized() -> Unanswered:
    return Unanswered(
        f"the reply is larger than {BODY_LIMIT} bytes, which no answer of Lambda is",
        written=True,
        why="oversized",
    )


@lru_cache(256)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()
