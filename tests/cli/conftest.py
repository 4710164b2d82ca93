"""The family of tests/aws/deploy."""

from tests.aws.deploy.conftest import family, package

__all__ = ["family", "package"]
