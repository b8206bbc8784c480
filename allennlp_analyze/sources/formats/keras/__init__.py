"""Reads the files of Keras: .keras, .weights.h5 and the older .h5, by the package h5py."""
