"""The command line: the same door, with a progress bar."""
