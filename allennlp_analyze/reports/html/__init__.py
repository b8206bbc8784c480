"""The HTML page of one model."""
