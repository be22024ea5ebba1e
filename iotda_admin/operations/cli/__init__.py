"""The command line: the same services as the pages, with a progress bar."""
