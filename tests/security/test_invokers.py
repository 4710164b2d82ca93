"""What whoever may invoke a function can't do: learn what lies elsewhere, change others' calls."""

import base64
import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.aws.deploy._policies import Place, worker_policy
from asyncfabric_runtime import Envelope, Outcome, Plan
from asyncfabric_runtime._envelope import Seals
from asyncfabric_runtime._named import NotServedError, Served, pack_name
from asyncfabric_runtime._process import Process
from asyncfabric_runtime._values import Encoded
from asyncfabric_runtime._wire import SPILLED, pack, unpack
from asyncfabric_storage import digest
from tests.aws.deploy.evaluation import allows
from tests.runtime.helpers import frame_bytes
from tests.runtime.test_aws_lambda import Fake, worker
from tests.security.work import echo

__all__ = ["worker"]

ECHO, FAIL = (pack_name("tests.security.work", name) for name in ("echo", "fail"))
SECRET = b"aws_secret_access_key=canary"


def _called(worker: Fake, code: dict[str, bytes], *, attached: bool) -> Any:
    plan = Plan(
        job="job",
        function=digest(ECHO),
        data_inputs=True,
        data_results=True,
        code={} if attached else code,
    )
    envelope = Envelope(plan, 1, [0], 1, Encoded(None, [7]), [], [])
    envelope.attachments = dict(code) if attached else {}
    return worker.serve(base64.b64encode(frame_bytes(envelope.to_frame())).decode(), 30.0)


@pytest.mark.parametrize("attached", [False, True])
def test_code_is_kept_under_its_own_digest_only(worker: Fake, attached: bool) -> None:
    """Whoever names a function by its digest would get another one: that of whoever came first."""
    worker.process.served = Served(["tests.security.work"])
    refused = _called(worker, {digest(ECHO): FAIL}, attached=attached)
    outcome = Outcome.from_segments(unpack(base64.b64decode(refused))[1])
    assert "IntegrityError" in outcome.failures[0].type_name
    answered = _called(worker, {digest(ECHO): ECHO}, attached=attached)
    assert Outcome.from_segments(unpack(base64.b64decode(answered))[1]).values.bodies == [7]


@pytest.mark.parametrize("known", range(len(SECRET)))
def test_a_worker_tells_nothing_of_objects_that_it_is_pointed_to(
    worker: Fake, tmp_path: Path, known: int
) -> None:
    """The digest of an object's beginning would give it away, byte by byte; so would a match."""
    (tmp_path / "credentials").write_bytes(SECRET)
    start = hashlib.sha256(SECRET[: known + 1]).hexdigest()
    answers: list[Any] = []
    for name in (start, "0" * 64):
        place = ("credentials", name, tmp_path.as_uri(), known)
        answers.append(
            worker.serve(base64.b64encode(frame_bytes(pack(SPILLED, place))).decode(), 9)
        )
        assert answers[-1]["integrity"] is False
    right, wrong = (
        answer["reason"].replace(name[:12], "")
        for answer, name in zip(answers, (start, "0" * 64), strict=True)
    )
    assert right == wrong
    assert start[:12] not in answers[1]["reason"]


def test_a_package_is_not_run_as_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sold_by_tests"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w').close()")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(NotServedError):
        Served(["sold_by_tests"]).find(pack_name("sold_by_tests.__main__", "main"))
    assert not (tmp_path / "canary").exists()


async def test_a_variable_is_read_as_the_worker_was_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not as the calls before left it: the value is kept for minutes, and others use it."""
    monkeypatch.setenv("HOST", "own")
    process = Process()
    process.enter_environment({"HOST": "another's", "PORT": "another's"})
    try:
        await process.secrets.fetch({"DB": "env:HOST"}, process.variable)
        assert process.secrets.values({"DB": "env:HOST"}) == {"DB": "own"}
        assert process.variable("PORT") is None
    finally:
        process.enter_environment(None)


def test_tokens_do_not_show() -> None:
    seals = Seals(bytes(16), bytes(64), b"canary" * 10)
    assert "canary" not in f"{seals!r} {seals}"


def test_workers_do_not_write_what_functions_are_made_of() -> None:
    place = Place("numbers", "aws", "us-east-1", "123456789012", "bucket", "numbers")
    policy, context = worker_policy(place), {"aws:ResourceAccount": place.account}
    package = f"arn:aws:s3:::bucket/numbers/packages/{'0' * 64}.zip"
    assert not allows(policy, "s3:PutObject", package, context)
    assert allows(policy, "s3:GetObject", package, context)


async def test_a_job_of_shipped_code_is_not_gone_on_with_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`version=` says that the code is the same; its stored bytes would travel and be unpickled."""
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5a" * 32)
    given: Any = {"storage": tmp_path.as_uri()}
    async with af.Fabric("inline://", **given) as fabric:
        assert await fabric.map(lambda x: x, [1], job="job", version="1") == [1]
    async with af.Fabric("inline://", code="deployed", **given) as fabric:
        with pytest.raises(af.ConfigurationError, match="begun with functions by value"):
            await fabric.map(echo, [1], job="job", version="1")
