"""The page: a process of its own, started when somebody looks and gone when nobody does."""
