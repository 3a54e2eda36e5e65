"""The native runner: the agent's work in C, for devices without Python and models of microseconds."""
