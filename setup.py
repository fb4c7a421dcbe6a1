"""The packages of a wheel: conf/ goes into it as flix_lightning/conf; all else stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["flix_lightning*"]), "flix_lightning.conf"],
    package_dir={"flix_lightning.conf": "conf"},
)
