"""What holds for the integrations."""
