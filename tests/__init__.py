"""The tests are a package, so that they share helpers and contracts."""
