"""Rotation of trunk keys: both ends move together, step by step, and every step can be gone on with or taken back."""
