"""Tests of asyncfabric.aws.deploy."""
