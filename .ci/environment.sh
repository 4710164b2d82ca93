# Sourced by tests/run, examples/run and .ci/run. `environment DIR SYNC_ARGUMENT...` makes the virtual
# environment DIR from uv.lock, or reuses it while nothing it was made from has changed, and puts it
# first on PATH. It needs Python 3.11 or later with pip and venv, and nothing else.

uv_version=0.13.9

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

find_python() {
    # The interpreter behind a virtual environment: the environment may be the one to be replaced.
    local ask='import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys._base_executable)'
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.14 python3.13 python3.12; do
        if "$candidate" -c "$ask" 2>/dev/null; then return; fi
        if [ "$candidate" = "${PYTHON:-}" ]; then
            fail "PYTHON=$PYTHON is not a Python 3.11 or later; set PYTHON to one that is"
        fi
    done
    fail "no Python 3.11 or later found; install one, or set PYTHON to its path"
}

environment() {
    local directory=$1 python made_of stamp
    shift
    [ -x "$directory/bin/python" ] && "$directory/bin/python" -c '' 2>/dev/null || rm -f "$directory/made-of"
    python=$(find_python) || exit 1
    made_of=$("$python" - "$@" <<'PY'
import hashlib, pathlib, sys
parts = [sys.version, sys.base_prefix, str(pathlib.Path.cwd()), *sys.argv[1:]]
files = ["pyproject.toml", "uv.lock", ".ci/environment.sh"]
print(hashlib.sha256(repr([*parts, *map(pathlib.Path.read_bytes, map(pathlib.Path, files))]).encode()).hexdigest())
PY
    )
    stamp=$directory/made-of
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$made_of" ]; then
        echo "== environment: $directory, from uv.lock, with $python"
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python has no venv module; install it (on Debian and Ubuntu: apt-get install python3-venv)"
        rm -rf "$directory"
        "$python" -m venv "$directory"
        "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
        # The environment is named, so that neither an activated one nor a .venv is touched.
        UV_PROJECT_ENVIRONMENT=$directory UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 \
            "$directory/bin/uv" sync --quiet --locked --no-default-groups --inexact \
            --python "$directory/bin/python" "$@"
        echo "$made_of" >"$stamp"
    fi
    directory=$(cd "$directory" && pwd)
    unset PYTHONHOME PYTHONPATH
    # Hundreds of processes import the same modules: compiled once, they take a third less time.
    # Not beside the sources, which may be another's to write.
    unset PYTHONDONTWRITEBYTECODE
    export PYTHONPYCACHEPREFIX=$directory/bytecode
    export VIRTUAL_ENV=$directory PATH="$directory/bin:$PATH"
}

tests_environment() {
    environment "${TESTS_ENVIRONMENT:-.venv-test}" \
        --all-extras --group test --group lint --group examples
}
