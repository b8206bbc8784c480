"""Runs the analyses of a zoo in local processes or on a Dask cluster."""
