"""Proof that a run reads no future: its input is cut, and nothing before a cut may change."""
