"""The life of orders: the table, the ids, the fold of the broker's words."""
