"""HTTPS: the page's own certificate."""

import ssl


def context(cert_file: str, key_file: str) -> ssl.SSLContext | None:
    """Read a certificate and its key; None where there is no file.

    Raises
    ------
    OSError
        When a file cannot be read, or is no certificate with its key (ssl.SSLError).
    """
    if not cert_file:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # Without a password for the key the library would ask for one at a terminal.
    made.load_cert_chain(cert_file, key_file or None, password="")
    return made
