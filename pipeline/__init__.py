"""Dropcast: drop a CSV of time series, get forecasts with intervals back."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dropcast")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
