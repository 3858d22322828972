"""Orchestrate synchronised captures on many hosts and say what they mean."""

from __future__ import annotations

__version__ = "0.1.0"
