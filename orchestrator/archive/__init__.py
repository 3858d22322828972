"""The run directory: layout, journal, seals."""
