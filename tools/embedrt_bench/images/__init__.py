"""Benchmarks of image models: the same rounds, peaks and processes as for texts, with pictures in place of them.

`command` is what `embedrt bench` calls for a model that takes images.
"""
