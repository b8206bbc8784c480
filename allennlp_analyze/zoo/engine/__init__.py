"""Where the models of a zoo are analyzed: processes here, or a Dask cluster."""
