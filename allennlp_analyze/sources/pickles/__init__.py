"""A pickle machine of our own: it knows what tensors need and refuses everything else."""
