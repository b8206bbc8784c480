"""What an analysis found, as frozen dataclasses."""
