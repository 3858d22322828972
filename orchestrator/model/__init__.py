"""The nouns: frozen dataclasses and the column schema. Pure."""
