"""Frames to time series: sums, centres, widths, backgrounds of ROIs, with errors and flags."""
