"""Benchmarks of image models: the same rounds, peaks and processes as for texts, with pictures in place of them."""
