"""Measures the service side by side with standard tools on the same data."""
