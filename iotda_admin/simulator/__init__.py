"""A stand-in IoTDA: its own process, its own state, reached over HTTP only."""
