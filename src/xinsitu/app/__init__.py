"""The explorer: the detector in a browser. Only the command line and the accessor import it."""
