"""Tests of the examples: each is run as a user runs it."""
