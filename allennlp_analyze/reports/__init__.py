"""One report format each, from the results; nothing is computed here."""
