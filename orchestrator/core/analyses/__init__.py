"""Questions asked of matched tokens, one a file."""
