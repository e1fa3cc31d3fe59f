"""Formulas lowered to torch, numba, triton and mpmath: one module each, imported at first use."""
