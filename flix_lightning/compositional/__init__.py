"""Compositional multi-tasking: calibration of a bank, merges of its features, two passes, and the study of all."""
