"""No credential, payload or environment value in a log, an error or a repr of the fabric's own.

Maps fail in every way; all that was logged, printed, raised or can be shown is looked through.
"""

import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.jobs._key_file import find_master_key
from asyncfabric.testing import LambdaFront
from tests.aws.replies import found, refused

KEY = "c0ffee" * 10 + "5a5a"
SECRET = "canary-of-a-secret"
ENVIRONMENT = "canary-of-an-environment"
INPUT = "canary-of-an-input"
SHARED = "canary-of-a-shared-value"
RESULT = "canary-of-a-result"
ACCESS = "canary-of-an-access-key"
CANARIES = [KEY, SECRET, ENVIRONMENT, INPUT, SHARED, RESULT, ACCESS]


class Odd:
    """Can't be carried, and says more than it should."""

    def __repr__(self) -> str:
        return RESULT


def raising(value: Any, *, table: Any = None) -> Any:
    raise LookupError(len(value))


async def raising_later(value: Any) -> Any:
    raise LookupError(len(value))


def odd(_: Any) -> Any:
    return {RESULT: [Odd()]}


def dying(_: Any) -> Any:
    os._exit(3)


def slow(_: Any) -> Any:
    import time

    time.sleep(60)


def wrong_arguments(_a: Any, _b: Any) -> Any:
    return 1


def _all_of(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield repr(error)
    yield "".join(traceback.format_exception(error))
    yield from getattr(error, "__notes__", ())
    yield from _all_of(error.__cause__, seen)
    yield from _all_of(error.__context__, seen)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What holds the canaries."""
    monkeypatch.setenv("MY_SECRET", SECRET)
    monkeypatch.setenv("ASYNCFABRIC_KEY", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ACCESS)
    return {
        "env": {"MY_VALUE": ENVIRONMENT},
        "secrets": {"DSN": "env:MY_SECRET"},
        "retry": None,
        "hedge": None,
    }


async def _fail_in_every_way(fabric: af.Fabric, *, separate: bool) -> list[str]:
    """Run what fails; return all that can be read of it."""
    shown: list[str] = [repr(fabric)]
    fabric._core.observers.append(lambda event: shown.append(repr(event)))
    quick = fabric.with_options(timeout=0.2)
    run: Any = fabric.map
    works: list[Any] = [
        run(raising, [INPUT], shared={"table": [SHARED]}),
        run(raising_later, [INPUT]),
        run(odd, [INPUT]),
        run(odd, [INPUT], results="ref"),
        run(wrong_arguments, [INPUT]),
        run(raising, [Odd()]),
        run(raising, [INPUT], shared={"table": Odd()}),
        run(raising, [INPUT], job="canary", version="1"),
    ]
    if separate:
        works += [run(dying, [INPUT]), quick.map(slow, [INPUT])]
    for work in works:
        shown.append(repr(work))
        with pytest.raises(Exception) as caught:
            await work
        shown += _all_of(caught.value, set())
        shown += [repr(work), repr(work.stats)]
        for index, error in work.failed().items():
            shown += [repr(index), *_all_of(error, set())]
    call: Any = fabric.submit(raising, INPUT)
    shown.append(repr(call))
    with pytest.raises(Exception) as caught:
        await call
    shown += [*_all_of(caught.value, set()), repr(call), *map(repr, call.attempts), call.logs]
    for run_ in fabric._core.bind().runs:
        shown += [repr(run_), repr(run_.plan), repr(run_.fan_out)]
    shown += [repr(fabric.report()), repr(fabric), repr(fabric._settings), repr(fabric._core)]
    return shown


def _check(shown: list[str]) -> None:
    everything = "\n".join(shown)
    assert "call 0 of" in everything  # there is something to look through
    assert [each for each in CANARIES if each in everything] == []


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=1"])
async def test_on_this_machine(
    backend: str,
    options: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    storage = (tmp_path / "store").as_uri()
    given: Any = {**options, "storage": storage, "trust": "data", "code": "deployed"}
    async with af.Fabric(backend, **given) as fabric:
        shown = await _fail_in_every_way(fabric, separate=backend != "inline://")
    _check([*shown, caplog.text, *capfd.readouterr()])


async def test_on_lambda(
    options: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    caplog.set_level(logging.DEBUG, "asyncfabric")
    storage = (tmp_path / "store").as_uri()
    given: Any = {**options, "storage": storage, "trust": "data", "code": "deployed"}
    async with LambdaFront() as front, af.Fabric(front.backend, **given) as fabric:
        shown = await _fail_in_every_way(fabric, separate=True)
    _check([*shown, caplog.text, *capfd.readouterr()])


async def test_where_pickles_are_trusted_only_inputs_show(
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The note on an error names the input, shortened: whoever debugs at a notebook needs it."""
    caplog.set_level(logging.DEBUG)
    async with af.Fabric("local://?processes=1", **options) as fabric:
        run: Any = fabric.map
        shown = [repr(fabric)]
        for work in (run(raising, [5]), run(raising_later, [INPUT]), run(dying, [5])):
            with pytest.raises(Exception) as caught:
                await work
            shown += [*_all_of(caught.value, set()), repr(work)]
    everything = "\n".join([*shown, caplog.text, *capfd.readouterr()])
    assert f"input {INPUT!r}" in everything
    assert [each for each in CANARIES if each in everything] == [INPUT]


def test_what_aws_says_of_a_signature_is_cut() -> None:
    """It repeats the request that it saw, with the token of the session."""
    told = f"does not match.\n\nThe Canonical String ... x-amz-security-token:{ACCESS}"
    fault = found(refused(403, "InvalidSignatureException", message=told))
    assert "does not match." in fault.message
    assert ACCESS not in fault.message


def test_the_key_hides_itself(options: dict[str, Any]) -> None:
    assert KEY not in repr(find_master_key())
