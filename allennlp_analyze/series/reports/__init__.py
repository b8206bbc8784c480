"""The reports of a series: JSON, terminal and page."""
