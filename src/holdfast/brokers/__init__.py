"""The brokers behind the ports: each translates once, both ways, and holds no policy."""
