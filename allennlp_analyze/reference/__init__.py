"""Published numbers and the comparison of a report with them."""
