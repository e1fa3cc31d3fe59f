"""Activations of any model: found, exchanged, and the exchange checked."""
