"""FakeCluster as its users meet it."""
