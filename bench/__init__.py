"""Benchmarks: every figure that is claimed comes from one interleaved run here."""
