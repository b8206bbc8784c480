"""Reads arrays by name: .npy and .npz of numpy, msgpack of Flax; puts kernels as torch has them."""
