"""Tests of asyncfabric.scheduling."""
