"""Files in, Datasets out, and back. Never imports ``xinsitu.physics``."""
