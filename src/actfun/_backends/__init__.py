"""Formulas lowered to torch, CPU kernels, triton and mpmath: each imported at first use."""
