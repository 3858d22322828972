"""Celery: decode, call one function, encode."""
