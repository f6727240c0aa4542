"""Examine this machine: packages, folders, devices, weights."""
