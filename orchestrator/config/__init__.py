"""YAML to model, with file:line:column for every error."""
