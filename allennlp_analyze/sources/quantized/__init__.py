"""Dequantizes weights: joins codes, scales, zero points and indices into one tensor each."""
