"""The pure core: kernels over columns and steps over events. No I/O, clock or randomness."""
