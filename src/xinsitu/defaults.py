"""What is done where nobody says otherwise; loaded by the command line's help, so it loads nothing."""

MEDIAN, OUTLIERS = 3, 5.0
"""Size of the median where numbers are made, and the standard deviations from which it replaces a pixel."""
