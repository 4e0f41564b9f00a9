"""Internal errors: contained, narrowed to a series, isolated in a child process."""
