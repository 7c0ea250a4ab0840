"""Terms on grids of pixels to a program."""
