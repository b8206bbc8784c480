"""The one table of options, and what is derived from it for every front door."""
