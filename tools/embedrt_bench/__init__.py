"""Benchmarks of embedrt beside other engines: `embedrt bench`. The method is described in docs/benchmarks.md."""
