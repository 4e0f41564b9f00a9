"""Faults of our own: contained, narrowed to a series, isolated in a child process."""
