"""One file a way of finding backends, each: target in, backends out."""
