"""A certificate of the loopback interface for one run, made by the openssl command."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from bench.peers.session import MissingPackageError

if TYPE_CHECKING:
    from pathlib import Path


def make_certificate(folder: Path) -> Path:
    """Write a key and its own certificate to one file; `MissingPackageError` without openssl.

    On P-256, whose signatures cost a server little: it is the clients that are measured.
    """
    key, certificate, both = (folder / name for name in ("key.pem", "cert.pem", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError as error:
        raise MissingPackageError("the openssl command: not installed here") from error
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both
