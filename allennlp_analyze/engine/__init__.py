"""Runs work in local processes or on a Dask cluster, whatever the work is."""
