"""Exceptions of every awkward kind become failures, and the worker goes on."""

import asyncio
import errno
import pickle
import sys
from typing import Any

import pytest

from asyncfabric_runtime._failure import describe
from tests.runtime.helpers import Worker, answers


class NeedsArguments(Exception):
    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


class HoldsLock(Exception):
    def __init__(self) -> None:
        import threading

        super().__init__("locked")
        self.lock = threading.Lock()


class Wordless(Exception):
    def __str__(self) -> str:
        raise SystemExit(9)


class Turncoat(Exception):
    def __reduce__(self) -> Any:
        return int, (3,)


class Exits(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit(9)


def _raise(kind: str) -> Any:
    if kind == "group":
        raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("g", [KeyError("two")])])
    if kind == "chained":
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    if kind == "deep":
        return _raise(kind)
    if kind == "exit":
        sys.exit(3)
    if kind == "noted":
        noted = ValueError("x")
        noted.add_note("a note")
        raise noted
    kinds: dict[str, Any] = {
        "arguments": lambda: NeedsArguments(3, reason="because"),
        "lock": HoldsLock,
        "wordless": Wordless,
        "turncoat": Turncoat,
        "exits": Exits,
        "interrupt": KeyboardInterrupt,
        "cancelled": asyncio.CancelledError,
        "stop": lambda: StopIteration(3),
        "stop async": StopAsyncIteration,
        "generator exit": GeneratorExit,
        "base": lambda: BaseException("odd"),
        "os": lambda: FileNotFoundError(errno.ENOENT, "gone", "/x"),
        "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        "memory": MemoryError,
        "lambda": lambda: type("Local", (ValueError,), {})("mine"),
        "long": lambda: ValueError("x" * 1_000_000),
        "surrogate": lambda: ValueError("\ud800"),
    }
    failure = kinds[kind]()
    raise failure


KINDS = {
    "group": "ExceptionGroup", "chained": "ValueError", "deep": "RecursionError",
    "noted": "ValueError", "arguments": "NeedsArguments", "os": "FileNotFoundError",
    "unicode": "UnicodeDecodeError", "memory": "MemoryError", "lambda": "Local",
    "long": "ValueError", "surrogate": "ValueError",
}  # fmt: skip
TEXT_ONLY = {
    "exit": "SystemExit", "lock": "HoldsLock", "wordless": "Wordless", "turncoat": "Turncoat",
    "exits": "Exits", "interrupt": "KeyboardInterrupt", "cancelled": "CancelledError",
    "stop": "StopIteration", "stop async": "StopAsyncIteration",
    "generator exit": "GeneratorExit", "base": "BaseException",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [*KINDS.items(), *TEXT_ONLY.items()])
def test_of_a_function(worker: Worker, kind: str, name: str) -> None:
    def fail(x: Any) -> Any:
        return _raise(x) if x else "fine"

    outcome = worker.run(fail, ["", kind, ""])
    assert answers(outcome) == {0: "fine", 2: "fine"}
    failure = outcome.failures[1]
    assert failure.kind == "user"
    assert failure.type_name == name
    assert (failure.pickled is not None) == (kind in KINDS)
    assert len(failure.message) < 70_000
    assert len(failure.traceback) < 70_000
    assert "_raise" in failure.traceback
    assert "asyncfabric_runtime" not in failure.traceback


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, name in [*KINDS.items(), *TEXT_ONLY.items()] if kind != "stop"],
)
def test_of_a_coroutine_function(worker: Worker, kind: str, name: str) -> None:
    async def fail(x: Any) -> Any:
        await asyncio.sleep(0)
        return _raise(x) if x else "fine"

    outcome = worker.run(fail, ["", kind, ""], is_async=True)
    assert answers(outcome) == {0: "fine", 2: "fine"}
    assert outcome.failures[1].type_name == name


def test_what_comes_back_is_the_exception() -> None:
    def back(kind: str) -> Any:
        try:
            _raise(kind)
        except Exception as error:  # noqa: BLE001
            return pickle.loads(describe(error).pickled or b"")

    error = back("arguments")
    assert (str(error), error.code, error.reason) == ("3: because", 3, "because")
    error = back("os")
    assert (error.errno, error.filename, str(error)) == (
        errno.ENOENT,
        "/x",
        "[Errno 2] gone: '/x'",
    )
    error = back("unicode")
    assert (error.object, error.reason) == (b"\xff", "bad")
    error = back("group")
    assert repr(error.exceptions) == repr(
        (ValueError("one"), ExceptionGroup("g", [KeyError("two")]))
    )
    assert back("noted").__notes__ == ["a note"]


def test_both_parts_of_a_chain_are_told(worker: Worker) -> None:
    text = worker.run(_raise, ["chained"]).failures[0].traceback
    assert "KeyError: 'inner'" in text
    assert "ValueError: outer" in text
