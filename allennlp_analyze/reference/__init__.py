"""Published numbers, and a report beside them."""
