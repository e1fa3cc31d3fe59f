"""What activations do inside a network while it runs: seen, counted, judged."""
