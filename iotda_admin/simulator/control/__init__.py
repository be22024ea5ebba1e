"""The endpoints of the control port, which the product never uses."""
