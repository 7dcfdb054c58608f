"""One file's bytes: each format describes its frames and reads their pixels."""
