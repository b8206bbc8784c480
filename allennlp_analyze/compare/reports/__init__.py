"""Reports of a comparison: terminal, HTML page and JSON."""
