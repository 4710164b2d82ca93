"""Tests of asyncfabric.reporting."""
