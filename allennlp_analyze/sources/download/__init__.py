"""Downloads: the cache, HTTP, and what can go wrong."""
