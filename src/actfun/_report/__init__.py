"""Offline HTML report of a comparison of activation functions."""
