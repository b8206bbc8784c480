"""Spectra by LAPACK: Gram matrices, tridiagonal form, refinement, who computes what when."""
