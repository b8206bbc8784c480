"""Reads directories of torch.distributed.checkpoint: a model in the files of many processes."""
