"""Formats of image files: their limits, what surrounds the pixels, TIFF, and the files of cameras."""
