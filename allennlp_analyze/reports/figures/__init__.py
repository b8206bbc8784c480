"""Figures of a model and its layers."""
