"""Torch-free inference: student bundles, windows, batch labelling, writers."""
