"""What is in a directory: one model, its parts, several models, and the files of trainers."""
