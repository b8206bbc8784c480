"""The report formats of one model, written from its results."""
