"""Numbers of a measurement while it is taken."""
