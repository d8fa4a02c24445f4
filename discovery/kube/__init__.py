"""The reading side of the Kubernetes API: access, objects, list and watch."""
