"""Text as people and files take it: names, counts, sizes, links, the terminal."""
