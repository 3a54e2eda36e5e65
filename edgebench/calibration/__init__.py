"""Representative data and the ranges that it fixes."""
