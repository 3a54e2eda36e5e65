"""Machines that run commands and hold files."""
