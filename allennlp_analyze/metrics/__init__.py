"""Metrics of a spectrum: ranks, norms, Marchenko-Pastur, power laws and distances."""
