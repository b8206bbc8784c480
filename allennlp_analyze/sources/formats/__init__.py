"""One module per weights format, and the registry of formats."""
