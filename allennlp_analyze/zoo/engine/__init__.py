"""Where the models of a zoo are analysed: processes here, or a Dask cluster."""
