"""Takes the calls by which services tell of their jobs unasked."""
