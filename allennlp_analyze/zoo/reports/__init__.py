"""Reports of a zoo: terminal, HTML page, figures, CSV and JSON."""
