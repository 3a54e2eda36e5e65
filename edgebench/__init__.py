"""edgebench: a trained model in, a deployment decision out."""

__version__ = "0.1.0"
