"""Nodes on grids of pixels."""
