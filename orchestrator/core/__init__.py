"""The rules: no clock, file, socket or log. Pure."""
