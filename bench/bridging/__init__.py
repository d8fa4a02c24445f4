"""What the benchmarks of the bridge to Consul share: both ends, and the programs between them."""
