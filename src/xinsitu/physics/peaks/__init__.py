"""Shapes of peaks: fits of profiles and spots, fringes, sizes."""
