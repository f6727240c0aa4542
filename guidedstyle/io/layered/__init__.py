"""Layered documents of paint programs: Krita, OpenRaster, Photoshop."""
