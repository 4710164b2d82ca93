"""The fake S3: objects of every bucket in memory, by `bucket/key`. Conditions hold."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape, unescape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.fakes.server import Reply

_XML = b"content-type: application/xml\r\n"
_MODIFIED = "2026-01-01T00:00:00.000Z"
_MODIFIED_HEADER = b"last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
_RANGE = re.compile(rb"bytes=(\d*)-(\d*)")
_PAGE = 1000


class FakeS3:
    """Buckets exist as soon as they are named."""

    def __init__(self) -> None:
        self.requests = self.written = 0
        self._objects: dict[str, bytes] = {}
        self._names: list[str] = []  # sorted: a listing costs what it returns
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._objects)

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        if name not in self._objects:
            insort(self._names, name)
        self._objects[name] = data
        self.written += len(data)

    def read(self, name: str) -> bytes:
        """Get an object."""
        return self._objects[name]

    def _delete(self, name: str) -> None:
        if self._objects.pop(name, None) is not None:
            del self._names[bisect_left(self._names, name)]

    def answer(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes, reply: Reply
    ) -> None:
        """Answer one request, path style."""
        self.requests += 1
        path, _, query_text = target.partition(b"?")
        name = unquote(path[1:].decode())
        query = parse_qs(query_text.decode(), keep_blank_values=True) if query_text else {}
        if b"aws-chunked" in headers.get(b"content-encoding", b""):
            _fail(reply, 501, "NotImplemented", "the fake takes bodies as they are")
        elif "/" not in name.rstrip("/"):
            self._bucket(method, name.rstrip("/"), query, body, reply)
        elif "uploads" in query or "uploadId" in query:
            self._upload(method, name, query, body, reply)
        elif method == b"PUT":
            self._put(name, headers, body, reply)
        elif method == b"DELETE":
            self._delete(name)
            reply(204)
        else:
            self._get(method, name, headers, reply)

    def _put(self, name: str, headers: dict[bytes, bytes], body: bytes, reply: Reply) -> None:
        if b"if-none-match" in headers and name in self._objects:
            _fail(reply, 412, "PreconditionFailed", "the object exists")
            return
        if b"if-match" in headers and headers[b"if-match"] != _etag(self._objects.get(name)):
            _fail(reply, 412, "PreconditionFailed", "the object has changed")
            return
        self.write(name, body)
        reply(200, headers=b"etag: %s\r\n" % _etag(body))

    def _get(self, method: bytes, name: str, headers: dict[bytes, bytes], reply: Reply) -> None:
        data = self._objects.get(name)
        if data is None:
            _fail(reply, 404, "NoSuchKey", "there is no such object", head=method == b"HEAD")
            return
        lines = b"etag: %s\r\n%saccept-ranges: bytes\r\n" % (_etag(data), _MODIFIED_HEADER)
        if method == b"HEAD":
            reply(200, headers=lines, length=len(data))
            return
        asked = _RANGE.fullmatch(headers.get(b"range", b""))
        if asked is None:
            reply(200, data, lines)
            return
        first, last = asked.groups()
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last) + 1, len(data)) if first and last else len(data)
        if start >= len(data):
            _fail(reply, 416, "InvalidRange", "the range is beyond the object")
            return
        lines += b"content-range: bytes %d-%d/%d\r\n" % (start, end - 1, len(data))
        reply(206, memoryview(data)[start:end], lines)

    def _upload(
        self, method: bytes, name: str, query: dict[str, list[str]], body: bytes, reply: Reply
    ) -> None:
        bucket, _, key = name.partition("/")
        if "uploads" in query:
            upload = str(next(self._numbers))
            self._uploads[upload] = {}
            _xml(
                reply,
                f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
                f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>",
            )
            return
        upload = query["uploadId"][0]
        if upload not in self._uploads:
            _fail(reply, 404, "NoSuchUpload", "there is no such upload")
        elif method == b"PUT":
            self._uploads[upload][int(query["partNumber"][0])] = body
            reply(200, headers=b"etag: %s\r\n" % _etag(body))
        elif method == b"POST":
            parts = self._uploads.pop(upload)
            data = b"".join(parts[number] for number in sorted(parts))
            self.write(name, data)
            _xml(
                reply,
                f"<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
                f"<ETag>{_etag(data).decode()}</ETag></CompleteMultipartUploadResult>",
            )
        else:
            del self._uploads[upload]
            reply(204)

    def _bucket(
        self, method: bytes, bucket: str, query: dict[str, list[str]], body: bytes, reply: Reply
    ) -> None:
        if method == b"POST" and "delete" in query:
            keys = [unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", body.decode())]
            for key in keys:
                self._delete(f"{bucket}/{key}")
            _xml(reply, f"<DeleteResult>{''.join(_deleted(keys))}</DeleteResult>")
        elif method == b"GET" and "location" not in query:
            self._list(bucket, query, reply)
        elif method == b"GET":
            _xml(reply, "<LocationConstraint></LocationConstraint>")
        else:
            reply(200, headers=b"x-amz-bucket-region: us-east-1\r\n")

    def _list(self, bucket: str, query: dict[str, list[str]], reply: Reply) -> None:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        limit = min(_PAGE, int(query.get("max-keys", [str(_PAGE)])[0]))
        start = f"{bucket}/{max(prefix, after + chr(0)) if after else prefix}"
        place = bisect_left(self._names, start)
        found = [
            name[len(bucket) + 1 :]
            for name in self._names[place : place + limit + 1]
            if name.startswith(f"{bucket}/{prefix}")
        ]
        page = found[:limit]
        more = len(found) > len(page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_MODIFIED}</LastModified><ETag>"
            f"&quot;0&quot;</ETag><Size>{len(self._objects[f'{bucket}/{key}'])}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in page
        )
        _xml(
            reply,
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>"
            f"{len(page)}</KeyCount><MaxKeys>{_PAGE}</MaxKeys><IsTruncated>{str(more).lower()}"
            f"</IsTruncated>{token}{entries}</ListBucketResult>",
        )


def _etag(data: bytes | None) -> bytes:
    """Return a tag that costs nothing to make; S3's own is a digest."""
    return b"absent" if data is None else b'"%x-%x"' % (len(data), hash(data[:64]) & 0xFFFFFFFF)


def _deleted(keys: list[str]) -> Iterator[str]:
    for key in keys:
        yield f"<Deleted><Key>{escape(key)}</Key></Deleted>"


def _xml(reply: Reply, text: str, status: int = 200) -> None:
    reply(status, b'<?xml version="1.0" encoding="UTF-8"?>' + text.encode(), _XML)


def _fail(reply: Reply, status: int, code: str, message: str, *, head: bool = False) -> None:
    if head:
        reply(status)
    else:
        _xml(reply, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>", status)
