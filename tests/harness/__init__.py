"""Tests of `bench/`; pyright, rooted in tests, would take a folder tests/bench for bench."""
