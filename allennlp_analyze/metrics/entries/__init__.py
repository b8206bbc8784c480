"""The entries of the catalogue of metrics, by subject."""
