"""Nothing here is collected with our tests: run by hand, or by a test in a process of its own."""

collect_ignore_glob = ["*.py"]
