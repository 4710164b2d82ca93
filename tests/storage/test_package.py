"""The package as a whole: names, errors, digests, and what its import costs."""

import copy
import hashlib
import pickle
import subprocess
import sys
from array import array

import pytest

import asyncfabric_storage
from asyncfabric_storage import (
    ConfigurationError,
    FabricError,
    IntegrityError,
    ObjectNotFound,
    StorageError,
    digest,
    object_key,
)


def test_all_is_what_is_public() -> None:
    public = {
        name
        for name, value in vars(asyncfabric_storage).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert public == set(asyncfabric_storage.__all__)


def test_the_import_is_light() -> None:
    code = "import sys, asyncfabric_storage; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    path = {"PYTHONPATH": str(asyncfabric_storage.__path__[0]) + "/.."}
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, env=path).stdout
    heavy = {"asyncio", "obstore", "anyio", "hashlib", "pathlib", "threading", "tempfile", "urllib"}
    assert not heavy & set(loaded.split())
    assert not {name for name in loaded.split() if name.startswith(("asyncfabric.", "runtime"))}


@pytest.mark.parametrize(
    "kind", [FabricError, ConfigurationError, StorageError, ObjectNotFound, IntegrityError]
)
def test_errors_travel(kind: type[FabricError]) -> None:
    error = kind("what happened; what to do")
    error.add_note("a note")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is kind
        assert str(other) == "what happened; what to do"
        assert other.args == error.args
        assert other.__notes__ == ["a note"]
    assert isinstance(error, FabricError)


def test_the_tree_of_errors() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ObjectNotFound, (StorageError, FileNotFoundError))
    assert issubclass(IntegrityError, StorageError)
    assert not issubclass(ConfigurationError, StorageError)


def test_digest() -> None:
    expected = hashlib.sha256(b"abc").hexdigest()
    assert digest(b"abc") == digest([b"a", bytearray(b"b"), memoryview(b"c")]) == expected
    assert digest(b"") == digest([]) == hashlib.sha256().hexdigest()
    numbers = array("d", [1.0, 2.0])
    assert digest(numbers) == digest(numbers.tobytes())
    with pytest.raises(TypeError, match="encode"):
        digest("abc")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert object_key(expected) == f"objects/{expected}"
