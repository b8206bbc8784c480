"""Files that are whole or not there: atomic writing, locks, records, temporary space."""
