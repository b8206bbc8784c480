"""One archive from start to end: measured, judged, summed up, written."""
