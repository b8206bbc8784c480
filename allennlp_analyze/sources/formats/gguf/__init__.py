"""Reads GGUF, the format of llama.cpp and Ollama: header, types, names and configuration."""
