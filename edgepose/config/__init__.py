"""The TOML file: schema, loading, checks, secrets and error messages."""
