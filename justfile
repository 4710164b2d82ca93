# The steps of CI, one by one. Each recipe runs what tests/run and .ci/run run.

# all of CI
default:
    bash .ci/run

# checks and tests
test *arguments:
    bash tests/run {{ arguments }}

# one example, or with no name a list of them
example *arguments:
    bash examples/run {{ arguments }}

# a development environment in .venv (needs uv)
setup:
    uv sync --locked --all-extras

lint:
    ruff check
    ruff format --check

format:
    ruff check --fix
    ruff format

types:
    mypy
    pyright
    pyright --verifytypes asyncfabric --ignoreexternal

unit *arguments:
    python -m pytest {{ arguments }}

smoke:
    python -m bench --smoke
