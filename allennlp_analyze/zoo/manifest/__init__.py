"""The models of a zoo: named, read and checked."""
