"""Guided statistics of features and their distances; knows no recipe."""
