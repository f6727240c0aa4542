"""Spatially controlled multi-style editing: paint where each style goes, and get the picture."""

__version__ = "0.1.0"
