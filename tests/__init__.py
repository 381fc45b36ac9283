"""The tests are a package, so that they share bodies, scenes and contracts."""
