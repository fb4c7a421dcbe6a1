"""Pretraining of the embedded model `tiny`: languages and many forms of output, not those of the benchmark."""
