"""Durable jobs whose driver is killed at every step, whose workers die, whose store does wrong.

`python -m tests.chaos` runs the long form; the suite runs a short one.
"""
