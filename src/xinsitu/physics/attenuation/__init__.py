"""Changes of attenuation: finding them, their factors, and intensities on one scale."""
