"""What stays on this machine: secrets always, and what tools leave behind.

Names are compared in lower case. A secret is left out wherever it lies, also where `include` asks
for it. Python sources are never taken for secrets by their names: `credentials.py` is code, and
without it the package does not import.
"""

from __future__ import annotations

import re

from ._globs import matches

_SECRET_FILES = (
    ".env", ".env.*", "*.env", ".envrc",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.keytab",
    "*.ovpn", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    "credentials", "credentials.*", "*-credentials.json", "*_credentials.json",
    "application_default_credentials*", "client_secret*", "service-account*.json",
    "service_account*.json", "serviceaccount*.json",
    "secret", "secret.*", "secrets", "secrets.*", ".secrets*",
    ".netrc", "_netrc", ".pgpass", ".my.cnf", ".pypirc", "pip.conf", ".npmrc", ".yarnrc.yml",
    ".git-credentials", ".gitconfig", ".htpasswd", "htpasswd", ".dockercfg", ".dockerconfigjson",
    "kubeconfig", "*.kubeconfig", ".boto", ".s3cfg", ".databrickscfg", ".terraformrc", "*.tfvars",
    "*.tfstate", "*.tfstate.*", ".vault-token", ".vault_pass*", ".bash_history", ".python_history",
)  # fmt: skip
_SECRET_DIRECTORIES = frozenset({
    ".aws", ".ssh", ".gnupg", ".gpg", ".azure", ".gcloud", ".kube", ".docker", ".oci", ".chef",
    ".password-store", ".secrets", ".git", ".hg", ".svn", ".bzr", "_darcs", "cvs",
})  # fmt: skip
"""With those of version control: their configuration holds tokens, their history anything."""

_CODE = (".py", ".pyi", ".pyx", ".pxd")
_SECRET_TEXT = re.compile(
    rb'-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----|"private_key"\s*:\s*"|aws_secret_access_key\s*='
    rb"|(?i:aws_secret_access_key|secretaccesskey)[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}"
)
_TEXT_BYTES = 64 * 1024
"""Longer files are data, not keys."""

_LITTER_FILES = (
    "*.pyc",
    "*.pyo",
    "*~",
    "*.swp",
    ".#*",
    "#*#",
    ".ds_store",
    "thumbs.db",
    ".coverage*",
)
_LITTER_DIRECTORIES = (
    "__pycache__", "node_modules", ".venv", "venv", ".tox", ".nox", ".eggs", "*.egg-info",
    "*.dist-info", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".cache",
    ".ipynb_checkpoints", ".idea", ".vscode", ".terraform", ".serverless", ".aws-sam", ".dvc",
    "__pypackages__", "htmlcov", "lost+found", ".trash",
)  # fmt: skip
_BUILD_DIRECTORIES = frozenset({"build", "dist", "target", "site"})
_PROJECT_FILES = frozenset({"pyproject.toml", "setup.py", "setup.cfg", "cargo.toml"})


def is_secret(name: str, *, is_directory: bool) -> bool:
    """Tell whether a file or directory of this name never travels."""
    name = name.lower()
    if is_directory:
        return name in _SECRET_DIRECTORIES
    return not name.endswith(_CODE) and matches(_SECRET_FILES, [name])


def holds_secret(name: str, data: bytes) -> bool:
    """Tell whether a file's content is a private key or the like, whatever it is called."""
    if len(data) > _TEXT_BYTES or name.lower().endswith(_CODE):
        return False
    return _SECRET_TEXT.search(data) is not None


def is_litter(name: str, siblings: frozenset[str], *, is_directory: bool) -> bool:
    """Tell whether a name is one that tools leave behind.

    `siblings` are the names beside it, in lower case: `build` is a package's name as well.
    """
    name = name.lower()
    if not is_directory:
        return matches(_LITTER_FILES, [name])
    if name in _BUILD_DIRECTORIES:
        return not _PROJECT_FILES.isdisjoint(siblings)
    return matches(_LITTER_DIRECTORIES, [name])


def is_environment(names: frozenset[str]) -> bool:
    """Tell whether a directory with these names in it is an environment of installed packages."""
    return "pyvenv.cfg" in names or "conda-meta" in names
