"""The content of a new state."""
