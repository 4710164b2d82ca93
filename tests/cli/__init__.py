"""Tests of asyncfabric.cli."""
