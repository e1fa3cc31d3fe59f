"""A fair comparison of activations on a task: paired by seed, tuned with an equal budget, confirmed on fresh seeds."""

ARTICLE = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "maxout")  # the seven of the overview article
