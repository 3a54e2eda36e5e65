"""Distil, prune and fine-tune PyTorch models before export."""
