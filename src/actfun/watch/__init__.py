"""What happens inside a network: one module of measures."""
