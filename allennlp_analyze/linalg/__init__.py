"""Spectra by LAPACK: Gram matrices, tridiagonal form, refinement and scheduling."""
