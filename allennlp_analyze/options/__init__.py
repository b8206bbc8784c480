"""The table of options, from which the options of every entry point are derived."""
