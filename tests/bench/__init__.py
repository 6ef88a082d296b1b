"""The benchmark of the server: `make bench`."""
