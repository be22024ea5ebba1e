"""What the simulated platform stores."""
