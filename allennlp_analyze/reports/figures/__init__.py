"""Figures of one model and of its layers."""
