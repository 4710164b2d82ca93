"""An S3 of one bucket that does wrong on demand, and counts.

It holds clients to what AWS holds them to and emulators do not: headers of S3's own must be signed,
and the expected owner must be the bucket's.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

BUCKET = "bucket"
OWNER = "123456789012"
Fault = Literal["lose request", "lose answer"] | tuple[int, str] | None
"""Close the connection before or after the request is done, or answer this status and code."""

_MODIFIED = "Wed, 21 Oct 2026 07:28:00 GMT"


@dataclass(frozen=True)
class Object:
    data: bytes
    metadata: dict[str, str]

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data).hexdigest()}"'


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    name: str
    """Of the object; empty for the bucket."""
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def signed(self) -> set[str]:
        found = re.search("SignedHeaders=([^,]*)", self.headers.get("authorization", ""))
        return set(found[1].split(";")) if found else set()


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


def error(status: int, code: str, more: str = "") -> Reply:
    text = (
        f"<Error><Code>{code}</Code><Message>why</Message><RequestId>R1</RequestId>{more}</Error>"
    )
    return Reply(status, text.encode())


@dataclass
class Service:
    """What the tests look at, and set."""

    url: str = ""
    objects: dict[str, Object] = field(default_factory=dict[str, Object])
    requests: list[Request] = field(default_factory=list[Request])
    fault: Callable[[Request], Fault] = lambda _: None
    """Asked about every request, in order of arrival."""
    before: Callable[[Request], None] = lambda _: None
    """Called before every request is done, after `fault`."""
    conditional: bool = True
    ranges: bool = True
    hold: asyncio.Event | None = None
    """Every request waits for it."""
    in_flight: int = 0
    peak: int = 0
    """Of requests in flight."""
    connections: int = 0
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict[str, dict[int, bytes]])

    def count(self, method: str, name: str | None = None) -> int:
        """How many such requests arrived."""
        return sum(each.method == method and name in {None, each.name} for each in self.requests)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections += 1
        try:
            while request := await _read(reader):
                self.requests.append(request)
                fault = self.fault(request)
                if fault == "lose request":
                    return
                self.in_flight += 1
                self.peak = max(self.peak, self.in_flight)
                try:
                    if self.hold:
                        await self.hold.wait()
                    await asyncio.sleep(0)
                    self.before(request)
                    reply = error(*fault) if isinstance(fault, tuple) else self._do(request)
                finally:
                    self.in_flight -= 1
                if fault == "lose answer":
                    return
                await _write(writer, request, reply)
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def _do(self, request: Request) -> Reply:  # noqa: PLR0911 - one for each kind
        own = {header for header in request.headers if header.startswith("x-amz-")}
        if own - request.signed:
            return error(403, "AccessDenied", "<HeadersNotSigned/>")
        if request.headers.get("x-amz-expected-bucket-owner", OWNER) != OWNER:
            return error(403, "AccessDenied")
        if not request.name:
            return self._list(request.query)
        match request.method:
            case "PUT" if "uploadId" in request.query:
                part = self.uploads[request.query["uploadId"]]
                part[int(request.query["partNumber"])] = request.body
                return Reply(200, headers={"ETag": '"part"'})
            case "PUT":
                return self._put(request)
            case "POST":
                return self._upload(request)
            case "DELETE":
                self.uploads.pop(request.query.get("uploadId", ""), None)
                self.objects.pop(request.name, None)
                return Reply(204)
            case _:
                return self._get(request)

    def _put(self, request: Request) -> Reply:
        if self.conditional and "if-none-match" in request.headers and request.name in self.objects:
            return error(412, "PreconditionFailed")
        metadata = {
            header: text
            for header, text in request.headers.items()
            if header.startswith("x-amz-meta-")
        }
        self.objects[request.name] = Object(request.body, metadata)
        return Reply(200, headers={"ETag": self.objects[request.name].etag})

    def _upload(self, request: Request) -> Reply:
        upload = request.query.get("uploadId")
        if upload is None:
            upload = f"upload-{len(self.requests)}"
            self.uploads[upload] = {}
            body = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId>"
            return Reply(200, f"{body}</InitiateMultipartUploadResult>".encode())
        parts = self.uploads.pop(upload)
        self.objects[request.name] = Object(b"".join(parts[each] for each in sorted(parts)), {})
        body = '<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>'
        return Reply(200, body.encode())

    def _get(self, request: Request) -> Reply:
        found = self.objects.get(request.name)
        if found is None:
            return error(404, "NoSuchKey")
        if request.headers.get("if-match", found.etag) != found.etag:
            return error(412, "PreconditionFailed")
        headers = {"ETag": found.etag, "Last-Modified": _MODIFIED, **found.metadata}
        size = len(found.data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if asked is None or not self.ranges:
            return Reply(200, found.data, headers)
        start, end = int(asked[1]), min(int(asked[2] or size), size - 1)
        if start >= size:
            return error(416, "InvalidRange", f"<ActualObjectSize>{size}</ActualObjectSize>")
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        return Reply(206, found.data[start : end + 1], headers)

    def _list(self, query: dict[str, str]) -> Reply:
        after = query.get("continuation-token") or query.get("start-after", "")
        prefix = query.get("prefix", "")
        names = [name for name in sorted(self.objects) if name.startswith(prefix) and name > after]
        page = names[:1000]
        items = "".join(
            f"<Contents><Key>{name}</Key><Size>{len(self.objects[name].data)}</Size>"
            "<LastModified>2026-10-21T07:28:00.000Z</LastModified></Contents>"
            for name in page
        )
        more = len(names) > len(page)
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        text = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}"
        return Reply(200, f"<ListBucketResult>{text}</ListBucketResult>".encode())


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.rstrip().split("\r\n")
    headers = {
        name.lower(): text.strip() for name, _, text in (each.partition(":") for each in rest)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = line.split(" ")
    parts = urlsplit(target)
    name = unquote(parts.path).removeprefix(f"/{BUCKET}").removeprefix("/")
    return Request(
        method, name, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body
    )


async def _write(writer: asyncio.StreamWriter, request: Request, reply: Reply) -> None:
    headers = {"Content-Length": str(len(reply.body)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} Status", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    if request.method != "HEAD":
        writer.write(reply.body)
    await writer.drain()


@asynccontextmanager
async def s3_service() -> AsyncGenerator[Service]:
    """Serve until the end of the block; `service.url` is the endpoint."""
    service = Service()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(service.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**20)
    try:
        service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield service
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await server.wait_closed()
