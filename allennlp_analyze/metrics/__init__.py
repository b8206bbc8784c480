"""Numbers of one spectrum: ranks, norms, Marchenko-Pastur, power laws, distances."""
