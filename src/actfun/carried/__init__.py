"""Formulas in float32 that carry their rounding errors along, as far as their targets need it."""
