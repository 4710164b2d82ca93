"""Which files travel, and how they are packed."""

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncfabric import ConfigurationError, SerializationError
from asyncfabric.shipping import _selection
from asyncfabric.shipping._archive import Archive, build_archive
from asyncfabric.shipping._compiled import Target
from asyncfabric.shipping._survey import survey
from asyncfabric_runtime._archives import Archives
from tests.shipping.projects import importing, prepend, write

TARGET = Target("3.11", "x86_64")


def _archive(*names: str) -> Archive:
    statements = [f"import {name}" for name in names or ("pkg",)]
    return build_archive(survey([importing(*statements)]), TARGET)


def _table(text: str) -> str:
    return f"[tool.asyncfabric]\n{text}\n"


SECRETS = [
    ".env", ".env.local", "prod.env", ".envrc", "server.pem", "tls.KEY", "store.p12", "a.pfx",
    "b.jks", "id_rsa", "id_ed25519.pub", "credentials", "credentials.json", "gcp-credentials.json",
    "service-account-7.json", "client_secret_1.json", "secrets.toml", "secret.yaml", ".netrc",
    ".pypirc", ".npmrc", "pip.conf", ".git-credentials", "terraform.tfstate", "prod.tfvars",
    ".aws/config", ".ssh/config", ".kube/config", ".git/config", "kubeconfig",
]  # fmt: skip


def test_secrets_never_travel(project: Path) -> None:
    """Not even those that `include` asks for; and the user can see which they were."""
    code = ["credentials.py", "secrets.py", "keys.py"]
    write(project, {f"pkg/{name}": "x = 1" for name in [*SECRETS, *code, "__init__.py"]})
    write(project, {"pyproject.toml": _table('include = ["pkg/**", "pkg/.env", "pkg/.aws"]')})
    archive = _archive()
    assert archive.files == tuple(sorted(f"pkg/{name}" for name in [*code, "__init__.py"]))
    folders = {f"pkg/{name.partition('/')[0]}" for name in SECRETS}
    assert folders <= set(archive.withheld)
    assert all(name.startswith(tuple(folders)) for name in archive.withheld)


@pytest.mark.parametrize(
    "content",
    [
        "-----BEGIN RSA PRIVATE KEY-----\nx",
        "-----BEGIN PRIVATE KEY-----\nx",
        '{"type": "service_account", "private_key": "x"}',
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nx",
        "[default]\naws_secret_access_key = x",
        f"export AWS_SECRET_ACCESS_KEY='{'aB3/' * 10}'",
        f'{{"SecretAccessKey": "{"aB3+" * 10}"}}',
    ],
)
def test_secrets_by_their_content(project: Path, content: str) -> None:
    write(project, {"pkg/__init__.py": f"'''{content}'''", "pkg/innocent.txt": content})
    archive = _archive()
    assert archive.files == ("pkg/__init__.py",)
    assert archive.withheld == ("pkg/innocent.txt",)


def test_what_tools_leave_behind_stays(project: Path) -> None:
    kept = ["__init__.py", "build/__init__.py", "py.typed", "data/.hidden", "venv.py", "a.c"]
    write(project, {f"pkg/{name}": "" for name in kept})
    litter = [
        "__pycache__/a.pyc", "old.pyc", ".venv/bin/x", "env/pyvenv.cfg", "env/lib/x.py",
        "node_modules/x.js", "x.egg-info/PKG-INFO", ".mypy_cache/x", ".ipynb_checkpoints/x",
        ".DS_Store", "a.py~", ".#a.py",
    ]  # fmt: skip
    write(project, {f"pkg/{name}": "" for name in litter})
    # A project's own build directory, where the package is the project.
    write(project, {"pkg/sub/setup.py": "", "pkg/sub/build/lib/x.py": "", "pkg/sub/dist/x.whl": ""})
    assert _archive().files == tuple(
        sorted([*(f"pkg/{name}" for name in kept), "pkg/sub/setup.py"])
    )


def test_members_have_fixed_times_and_permissions(project: Path) -> None:
    write(project, {"pkg/__init__.py": "", "pkg/tool": "#!/bin/sh\n", "pkg/x.bin": b"\x7fELF"})
    (project / "pkg" / "__init__.py").chmod(0o777)
    archive = _archive()
    with zipfile.ZipFile(io.BytesIO(archive.data)) as packed:
        members = packed.infolist()
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    modes = {member.filename: stat.S_IMODE(member.external_attr >> 16) for member in members}
    assert modes == {"pkg/__init__.py": 0o644, "pkg/tool": 0o755, "pkg/x.bin": 0o755}
    assert archive.size == 14


NAMES = st.text("abü", min_size=1, max_size=3)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".txt"),
    st.binary(max_size=50),
    max_size=8,
)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=TREES)
def test_what_is_packed_is_what_is_unpacked(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, bytes]
) -> None:
    """And the digest depends on names and contents only."""
    digests: set[str] = set()
    for items in (list(tree.items()), list(reversed(tree.items()))):
        root = tmp_path_factory.mktemp("tree")
        write(root, {"unpacked_pkg/__init__.py": "", **{f"unpacked_pkg/{k}": v for k, v in items}})
        with pytest.MonkeyPatch.context() as patch:
            prepend(patch, root)
            patch.chdir(root)
            archive = _archive("unpacked_pkg")
        digests.add(archive.digest)
        archives = Archives(str(root / "archives"))
        archives.install(archive.digest, archive.data)
        unpacked = root / "archives" / archive.digest / "unpacked_pkg"
        found = {
            path.relative_to(unpacked).as_posix(): path.read_bytes()
            for path in unpacked.rglob("*")
            if path.is_file()
        }
        assert found == {"__init__.py": b"", **tree}
    assert len(digests) == 1


# include and exclude


def test_exclude(project: Path) -> None:
    write(
        project,
        {
            "pyproject.toml": _table(
                'exclude = ["*.csv", "pkg/tests", "/pkg/deep/**/x.txt", "pkg/[ab]?.py"]'
            ),
            **dict.fromkeys(
                [
                    "pkg/__init__.py", "pkg/a.csv", "pkg/sub/b.csv", "pkg/tests/t.py", "pkg/a1.py",
                    "pkg/b.py", "pkg/deep/x.txt", "pkg/deep/down/x.txt", "pkg/x.txt",
                ],
                "",
            ),
        },
    )  # fmt: skip
    assert _archive().files == ("pkg/__init__.py", "pkg/b.py", "pkg/x.txt")
    write(project, {"pkg/b.py": "import big_one", "big_one.py": "", "other/__init__.py": ""})
    write(project, {"pyproject.toml": _table('exclude = ["big_one.py", "other"]')})
    assert not {"big_one.py", "other/__init__.py"} & set(_archive("pkg", "other").files)


def test_include(project: Path) -> None:
    """Adds what nothing imports and what would stay; its imports are followed."""
    write(
        project,
        {
            "pyproject.toml": _table(
                'include = ["models/*.bin", "plugins", "pkg/build/out.txt", "pkg/.cache/**"]\n'
                'exclude = ["plugins/no.py"]'
            ),
            "pkg/__init__.py": "",
            "pkg/pyproject_of_it.py": "",
            "pkg/.cache/x": "",
            "pkg/build/out.txt": "",
            "models/a.bin": "",
            "models/a.txt": "",
            "plugins/one.py": "import used_by_plugin",
            "plugins/no.py": "",
            "plugins/.env": "",
            "used_by_plugin.py": "",
        },
    )
    archive = _archive()
    assert archive.files == (
        "models/a.bin", "pkg/.cache/x", "pkg/__init__.py", "pkg/build/out.txt",
        "pkg/pyproject_of_it.py", "plugins/one.py", "used_by_plugin.py",
    )  # fmt: skip
    assert archive.withheld == ("plugins/.env",)


def test_include_from_the_project_of_a_src_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": _table('include = ["src/extra/*.txt", "outside/*"]'),
            "src/pkg/__init__.py": "",
            "src/extra/a.txt": "",
        },
    )
    prepend(monkeypatch, tmp_path / "src")
    monkeypatch.chdir(tmp_path / "src")
    with pytest.raises(ConfigurationError, match=r"'outside/\*' matches no file.*mend"):
        _archive()
    write(tmp_path, {"outside/x": ""})
    with pytest.raises(ConfigurationError, match=r"matches .*outside/x.*move it there"):
        _archive()
    write(tmp_path, {"pyproject.toml": _table('include = ["src/extra/*.txt"]')})
    assert _archive().files == ("extra/a.txt", "pkg/__init__.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.asyncfabric]\ninclude = 'x'", "must be a list"),
        ("[tool.asyncfabric]\ninclude = [1]", "1 is no pattern"),
        ("[tool.asyncfabric]\nexclude = ['']", "'' is no pattern"),
        ("[tool.asyncfabric]\nexclude = ['../x']", "below its directory"),
        ("[tool.asyncfabric]\nexclude = ['[z-a]']", "is no pattern"),
        ("[tool]\nasyncfabric = 1", "must be a table"),
        ("nonsense", "can't be read"),
    ],
)
def test_settings_that_make_no_sense(project: Path, text: str, message: str) -> None:
    write(project, {"pkg/__init__.py": "", "pyproject.toml": text})
    with pytest.raises(ConfigurationError, match=message) as caught:
        _archive()
    assert str(project / "pyproject.toml") in str(caught.value)


# trouble with files


def test_links_within_a_package_are_followed(project: Path) -> None:
    write(project, {"pkg/__init__.py": "", "pkg/a/x.txt": "x"})
    (project / "pkg" / "b").symlink_to("a")
    (project / "pkg" / "a" / "up").symlink_to("..")  # a circle
    (project / "pkg" / "broken").symlink_to("nowhere")
    (project / "pkg" / ".#lock").symlink_to("user@host")
    files = _archive().files
    assert {"pkg/a/x.txt", "pkg/b/x.txt"} <= set(files)
    assert not any("broken" in name or "lock" in name for name in files)


def test_links_out_of_a_package(tmp_path: Path, project: Path) -> None:
    write(tmp_path / "far", {"shared/x.txt": "x", ".aws/config": "secret", "id_rsa": "secret"})
    write(project, {"pkg/__init__.py": ""})
    (project / "pkg" / "shared").symlink_to(tmp_path / "far" / "shared")
    (project / "pkg" / "innocent").symlink_to(tmp_path / "far" / ".aws" / "config")
    (project / "pkg" / "harmless").symlink_to(tmp_path / "far" / "id_rsa")
    with pytest.raises(SerializationError, match=r"pkg/shared -> .*far/shared; add them to incl"):
        _archive()
    write(project, {"pyproject.toml": _table('include = ["pkg/*"]')})
    archive = _archive()
    assert archive.files == ("pkg/__init__.py", "pkg/shared/x.txt")
    assert archive.withheld == ("pkg/harmless", "pkg/innocent")
    write(project, {"pyproject.toml": _table('exclude = ["shared"]')})
    assert _archive().files == ("pkg/__init__.py",)


def test_sockets_and_pipes_stay(project: Path) -> None:
    write(project, {"pkg/__init__.py": ""})
    os.mkfifo(project / "pkg" / "pipe")
    assert _archive().files == ("pkg/__init__.py",)


def test_a_file_that_cannot_be_read(project: Path) -> None:
    write(project, {"pkg/__init__.py": "", "pkg/x.txt": ""})
    found = survey([importing("import pkg")])
    (project / "pkg" / "x.txt").unlink()
    with pytest.raises(
        SerializationError, match=r"pkg/x\.txt can't be read \(No such file.*exclude"
    ):
        build_archive(found, TARGET)


def test_too_much(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_selection, "MAX_BYTES", 1000)
    write(
        project,
        {
            "asked_for.py": "import pkg",
            "pkg/__init__.py": "",
            "pkg/data/a.bin": b"x" * 600,
            "pkg/data/b.bin": b"x" * 500,
        },
    )
    with pytest.raises(SerializationError) as caught:
        _archive("asked_for")
    text = str(caught.value)
    assert "until package 'pkg'" in text
    assert "pkg/data/ (0.0 MB), pkg/data/a.bin (0.0 MB)" in text
    assert 'exclude = ["pkg/data"]' in text
    assert caught.value.__notes__ == [f"package 'pkg' is asked for by {project / 'asked_for.py'}"]


def test_too_many_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_selection, "MAX_FILES", 3)
    write(project, {f"pkg/{name}.py": "" for name in ("__init__", "a", "b", "c", "d")})
    with pytest.raises(
        SerializationError, match=r"more than 3 files.*project's root with an __init"
    ):
        _archive()


def test_a_home_directory_is_no_package(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, {"pkg/__init__.py": ""})
    monkeypatch.setenv("HOME", str(project / "pkg"))
    with pytest.raises(SerializationError, match="a home directory is never sent"):
        _archive()


def test_names_that_are_not_unicode(project: Path) -> None:
    write(project, {"pkg/__init__.py": ""})
    with open(os.fsencode(project / "pkg") + b"/\xff", "wb"):  # noqa: PTH123 - bytes
        pass
    with pytest.raises(SerializationError, match="is not Unicode; rename it"):
        _archive()


def test_decomposed_names_are_composed(project: Path) -> None:
    """As macOS writes them, and as sources name them."""
    write(project, {"pkg/__init__.py": "", "pkg/u\u0308.txt": ""})
    assert _archive().files == ("pkg/__init__.py", "pkg/ü.txt")
