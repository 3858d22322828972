"""Capture bytes in and out."""
