"""Small tools, importable from a notebook."""
