"""The version of the package, which set-up reads without importing the rest."""

__version__ = "0.1.0"
