"""The analysis of one archive: measure, judge, summarize and write."""
