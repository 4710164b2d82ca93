"""Tests of asyncfabric_storage."""
