"""GitHub Worker: one process, one job, from a session to a pushed commit."""

__version__ = "0.2.0"
