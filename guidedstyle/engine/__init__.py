"""Optimise an image: plan, objective, solvers, coarse to fine."""
