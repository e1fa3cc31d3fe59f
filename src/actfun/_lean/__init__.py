"""What backward needs, kept once: outputs of activations are made again from inputs that are kept anyway."""
