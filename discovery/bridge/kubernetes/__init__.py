"""What the bridge knows of the cluster, and how sure it is of it."""
