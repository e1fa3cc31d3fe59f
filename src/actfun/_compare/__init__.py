"""A fair comparison of activations on a task: paired by seed, tuned with an equal budget, confirmed on fresh seeds."""
