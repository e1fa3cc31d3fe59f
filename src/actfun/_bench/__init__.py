"""How long activations take, in this library and in others, side by side in one run."""
