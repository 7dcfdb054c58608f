"""Suites of others are run by hand, or by a test in a process of its own; they are not collected with our tests."""

collect_ignore = ["frame_stack.py", "netcdf_writer.py"]
