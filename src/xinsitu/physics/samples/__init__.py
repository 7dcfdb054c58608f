"""Several measurements: one time axis, events, growth, comparison."""
