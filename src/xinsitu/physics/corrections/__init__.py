"""From raw to corrected frames: what is to be done, and doing it block by block."""
