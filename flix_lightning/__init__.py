"""FLix Lightning: one frozen language model for many tasks in many languages, by featurized low-rank mixtures."""

__version__ = "0.1.0"
