"""One folder a service; each has the same files, so that one service read is all services read."""
