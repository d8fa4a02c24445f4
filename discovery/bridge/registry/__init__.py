"""What Consul holds of ours: read, kept current, and written."""
