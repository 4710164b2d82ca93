"""Runs invocations on AWS Lambda: each is held open, and its answer is the completion notice."""

from ._backend import LambdaBackend as LambdaBackend
from ._url import LambdaSettings as LambdaSettings
from ._url import read_url as read_url

__all__ = ["LambdaBackend", "LambdaSettings", "read_url"]
