"""Internals of the library `dropcast`."""
