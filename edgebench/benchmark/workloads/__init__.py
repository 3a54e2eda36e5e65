"""What is measured beyond the latency of single calls: throughput, scenarios, loading, operators, soaking."""
