"""Where memory is kept: the seam (`base`) and its implementations."""
