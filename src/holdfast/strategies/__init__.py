"""Strategies: each hears closed candles of one underlying and answers with an opinion."""
