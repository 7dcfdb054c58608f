"""Files of other tools and of the old scripts, one module for each."""
