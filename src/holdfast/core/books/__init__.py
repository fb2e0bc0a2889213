"""The books: positions as folds of fills, what the fills cost, and the ledger they are posted to."""
