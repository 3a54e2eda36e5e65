"""What is done to a float graph before it is quantized, so that int8 keeps its accuracy."""
