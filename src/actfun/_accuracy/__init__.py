"""How far the values and derivatives of activations are from the exact ones: `actfun accuracy`."""
