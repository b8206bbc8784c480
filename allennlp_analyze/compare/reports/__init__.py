"""A comparison on the terminal, as a page and as JSON."""
