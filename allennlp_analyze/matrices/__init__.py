"""Turns named tensors into weight matrices with their kinds."""
