"""Where a quantized model's accuracy went: the same samples on every rung from framework to target."""
