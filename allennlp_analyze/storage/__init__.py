"""File storage: atomic writing, locks, records and temporary space."""
