"""Whole programs on an emulated cloud: S3, and functions that run the real runtime client."""
