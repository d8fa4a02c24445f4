"""Benchmarks: the figures this library promises, each measured beside what it is compared with.

`python -m bench` runs them all, `python -m bench pick import_time` those named. One module a benchmark: `measure(runs)`
yields its figures, and what has to run in a process of its own is the same module run as a program.
"""
