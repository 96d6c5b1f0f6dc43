"""Measurements that the README quotes; each module runs with `python -m benchmarks.<name>`."""
