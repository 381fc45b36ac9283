"""What every implementation of a protocol must keep; test files inherit from here."""
