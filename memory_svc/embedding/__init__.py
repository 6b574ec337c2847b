"""Texts to vectors: the seam (`base`) and its implementations."""
