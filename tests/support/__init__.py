"""What tests, benchmarks and the demo share."""
