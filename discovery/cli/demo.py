"""`discovery demo`: the main job, with nothing installed."""
