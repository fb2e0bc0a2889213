"""The one way in: every signal passes the same gates and ends in one recorded outcome."""
