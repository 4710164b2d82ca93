"""Tests of asyncfabric.shipping."""
