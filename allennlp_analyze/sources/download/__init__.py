"""Downloads: the cache, the HTTP client and its errors."""
