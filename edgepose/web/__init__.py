"""The page, served by a process of its own that runs only while it is used."""
