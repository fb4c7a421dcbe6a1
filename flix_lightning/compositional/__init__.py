"""Compositional multi-tasking: merges of trained features, few-shot weights, two passes, and the study of all."""
