"""`asyncfabric doctor`: each check for itself, and all of them against moto."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from asyncfabric import WorkerCrashed
from asyncfabric.aws._family import Member, member
from asyncfabric.aws.deploy._archive import Archive
from asyncfabric.aws.deploy._cloud import Cloud, Refused
from asyncfabric.aws.deploy._plan import make_plan
from asyncfabric.aws.deploy._settings import Settings
from asyncfabric.aws.doctor import _doctor
from asyncfabric.aws.doctor._account import check_clock, judge_quota
from asyncfabric.aws.doctor._calls import check_calls
from asyncfabric.aws.doctor._doctor import Patient, examine
from asyncfabric.aws.doctor._finding import Finding
from asyncfabric.testing import LambdaFront
from asyncfabric_storage import LocalStore, ObjectStore
from tests.aws.deploy.conftest import Family, apply, use_package


@pytest.mark.parametrize(
    ("numbers", "status", "words"),
    [
        ((1000, 900, None, 100), "ok", "900 of the account's 1000"),
        ((1000, 50, None, 100), "warning", "max_concurrency=50"),
        ((10, 10, None, 100), "warning", "Service Quotas"),
        ((1000, 900, 100, 100), "ok", "100 workers at once are reserved"),
        ((1000, 900, 20, 100), "warning", "max_concurrency=20"),
        ((1000, 900, 0, 100), "failed", "it can't run"),
    ],
)
def test_quotas(numbers: tuple[int, int, int | None, int], status: str, words: str) -> None:
    finding = judge_quota(*numbers)
    assert finding.status == status
    assert words in str(finding)
    assert bool(finding.advice) == (status != "ok")


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(0, "ok"), (-30, "ok"), (120, "warning"), (-400, "failed"), (400, "failed")],
)
async def test_clocks(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, seconds: int, status: str
) -> None:
    date = format_datetime(datetime.now(UTC) - timedelta(seconds=seconds), usegmt=True)

    async def call(*_: Any) -> dict[str, Any]:
        return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    monkeypatch.setattr(cloud, "call", call)
    finding = await check_clock(cloud)
    assert finding.status == status
    assert ("ahead of" if seconds > 0 else "behind") in finding.says or not seconds


async def test_two_calls(family: Family, tmp_path: Path) -> None:
    """By the way that programs take: a cold start and a warm worker are told apart."""
    async with LambdaFront() as front:
        finding = await check_calls(front.backend, LocalStore(tmp_path))
    assert finding.status == "ok", finding.says
    assert "(a cold start)" in finding.says
    assert "(warm)" in finding.says


async def test_calls_that_fail(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program would have raised is what doctor says."""
    await _deployed(cloud, family, tmp_path)

    async def failing(backend: str, storage: ObjectStore) -> Finding:
        raise WorkerCrashed("the worker died; see its log")

    monkeypatch.setattr(_doctor, "check_calls", failing)
    finding = (await _examine(family))["calls"]
    assert finding == Finding("calls", "failed", "the worker died", "see its log")


# all of them


@pytest.fixture
def no_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto runs no code."""

    async def called(backend: str, storage: ObjectStore) -> Finding:
        return Finding("calls", "ok", f"{backend} {storage.url}")

    monkeypatch.setattr(_doctor, "check_calls", called)


def _member(family: Family) -> Member:
    return member(family.name, arch="x86_64")


async def _examine(family: Family) -> dict[str, Finding]:
    patient = Patient(_member(family), endpoint_url=family.url, bucket=family.bucket)
    said: list[Finding] = []
    findings = await examine(patient, said.append)
    assert said == findings
    return {each.check: each for each in findings}


async def _deployed(cloud: Cloud, family: Family, folder: Path) -> None:
    settings = Settings(name=family.name, bucket=family.bucket, arch="x86_64")
    await apply((await make_plan(cloud, settings, folder)).steps)


@pytest.mark.usefixtures("no_calls")
async def test_all_is_well(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    await _deployed(cloud, family, tmp_path)
    found = await _examine(family)
    status = {name: each.status for name, each in found.items()}
    assert status == {
        "credentials": "ok",
        "clock": "ok",
        "quota": "unknown",  # moto knows no GetAccountSettings
        "function": "ok",
        "bucket": "ok",
        "storage": "ok",
        "conditional writes": "ok",
        "calls": "ok",
    }
    assert f"lambda://{family.name}?region=us-east-1&memory=1769" in found["calls"].says
    assert f"s3://{family.bucket}/{family.name}?" in found["calls"].says


async def test_nothing_is_there(cloud: Cloud, family: Family) -> None:
    found = await _examine(family)
    assert found["function"].status == "failed"
    assert f"asyncfabric deploy --name {family.name}" in found["function"].advice
    assert found["bucket"].status == "failed"
    assert not {"storage", "conditional writes", "calls"} & {*found}


@pytest.mark.usefixtures("no_calls")
async def test_another_version_is_deployed(
    cloud: Cloud, family: Family, tmp_path: Path, small: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _deployed(cloud, family, tmp_path)
    use_package(monkeypatch, small._replace(sha256="0" * 64))
    finding = (await _examine(family))["function"]
    assert finding.status == "warning"
    assert "asyncfabric deploy" in finding.advice


@pytest.mark.usefixtures("no_calls")
async def test_settings_of_the_bucket_have_been_changed(
    cloud: Cloud, family: Family, tmp_path: Path
) -> None:
    await _deployed(cloud, family, tmp_path)
    await cloud.call("s3", "delete_public_access_block", Bucket=family.bucket)
    finding = (await _examine(family))["bucket"]
    assert finding.status == "warning"
    assert "public access" in finding.says


@pytest.mark.usefixtures("no_calls")
async def test_what_is_denied_is_unknown(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _deployed(cloud, family, tmp_path)
    call = Cloud.call

    async def denying(self: Cloud, service: str, operation: str, **arguments: Any) -> Any:
        if service == "lambda" or operation.startswith("get_public"):
            raise Refused(operation, "AccessDeniedException", "no")
        return await call(self, service, operation, **arguments)

    monkeypatch.setattr(Cloud, "call", denying)
    found = await _examine(family)
    status = {name: each.status for name, each in found.items()}
    assert status == {
        "credentials": "ok",
        "clock": "ok",
        "quota": "unknown",
        "function": "unknown",
        "bucket": "unknown",
        "storage": "ok",
        "conditional writes": "ok",
        "calls": "ok",  # what matters in the end can be tried
    }


async def test_no_credentials(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = await _examine(family)
    assert [*found] == ["credentials"]
    assert found["credentials"].status == "failed"
    assert found["credentials"].advice
