"""Frames for the page: where they come from and how they are kept at hand."""
