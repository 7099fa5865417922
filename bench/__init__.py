"""Benchmarks. Each ends with one line of JSON and compares with something measured in the same run."""
