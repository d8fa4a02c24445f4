"""What Consul should hold: from Services, slices and nodes to instances. Pure."""
