"""What a person sees: one class per view, Bokeh models only, everything decided by the model."""
