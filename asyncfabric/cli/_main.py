"""From arguments to an exit code."""

from __future__ import annotations

import argparse
import importlib.metadata
import traceback
from typing import TYPE_CHECKING

from asyncfabric._exceptions import FabricError

from . import _deploy, _destroy, _dev, _doctor, _jobs
from ._say import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_USAGE = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 for success, 1 for an error, 2 for wrong usage.

    Errors are one line on the standard error output; `--debug` shows where they come from.

    Args:
        argv: the arguments without the command's own name; default `sys.argv[1:]`.
    """
    parser = _parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else _USAGE
    run: Callable[[argparse.Namespace], int] | None = getattr(options, "run", None)
    if run is None:
        parser.print_help()
        return _USAGE
    debug = bool(getattr(options, "debug", False))
    try:
        return run(options)
    except KeyboardInterrupt:
        complain("stopped")
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        if debug:
            traceback.print_exc()
        _complain(_missing(error))
    except (FabricError, OSError) as error:
        if debug:
            traceback.print_exc()
        _complain(str(error) or type(error).__name__)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="asyncfabric", description="Workers for asyncfabric: on AWS, or a whole cloud here."
    )
    version = importlib.metadata.version("asyncfabric")
    parser.add_argument("--version", action="version", version=f"asyncfabric {version}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    _deploy.add_parser(commands)
    _doctor.add_parser(commands)
    _destroy.add_parser(commands)
    _dev.add_parser(commands)
    _jobs.add_parser(commands)
    return parser


def _missing(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    if name in {"aiobotocore", "botocore", "obstore", "httptools"}:
        return f"{name} is not installed; run: pip install 'asyncfabric[aws]'"
    if name in {"aiohttp", "awslambdaric"}:
        return f"{name} is not installed; run: pip install 'asyncfabric[testing]'"
    return f"{error}; install it, or see where it is asked for with --debug"


def _complain(message: str) -> None:
    complain(f"asyncfabric: {message}")
