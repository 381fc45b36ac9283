"""Benchmarks, accuracy and event scores."""
