"""The family of tests/aws/deploy."""

from tests.aws.deploy.conftest import family, package, small

__all__ = ["family", "package", "small"]
