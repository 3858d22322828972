"""What clients met before their failures, against matched controls (ALGORITHMS D.6)."""
