"""The page's HTTPS certificate."""

import ssl


def context(cert_file: str, key_file: str) -> ssl.SSLContext | None:
    """Return a TLS context with a certificate and its key; None without a file.

    Raises
    ------
    OSError
        When a file cannot be read or is not a certificate with its key (ssl.SSLError).
    """
    if not cert_file:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # Without a password callback OpenSSL would ask for one in the terminal.
    made.load_cert_chain(cert_file, key_file or None, password="")
    return made
