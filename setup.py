"""A stub over pyproject.toml, but that the packages below pipeline/ are found."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["pipeline*"]), "pipeline.templates"])
