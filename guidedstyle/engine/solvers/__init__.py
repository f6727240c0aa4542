"""Optimisers of any differentiable function of an image."""
