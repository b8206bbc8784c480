"""Text for people and files: names, counts, sizes, links and the terminal."""
