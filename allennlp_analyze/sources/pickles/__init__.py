"""A safe pickle reader: it accepts what tensors need and rejects everything else."""
