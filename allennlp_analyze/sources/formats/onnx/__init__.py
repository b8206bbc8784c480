"""Reads ONNX models: the wire format, the tensors, and which operator uses which weight."""
