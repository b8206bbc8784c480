"""A zoo on the terminal, as a page, figures, CSV and JSON."""
