"""What is timed, the agent that runs on the device, statistics, accuracy, the evidence."""
