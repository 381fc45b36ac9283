"""The web page, served by a separate process that runs only while the page is in use."""
