"""Readable oracles: plain loops and numba, numpy in and out. They never import the native core."""
