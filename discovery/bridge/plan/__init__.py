"""The difference between what is wanted and what is held, what of it may be done, and its operations. Pure."""
