"""One module for each weights format, and the registry that knows them."""
