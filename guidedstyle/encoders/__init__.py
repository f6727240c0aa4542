"""Frozen networks that turn an image into features by layer name."""
