"""A simulated Dhan: its REST, feeds and order updates over real sockets (facts: dhan.md)."""
