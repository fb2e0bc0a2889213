"""What a day came to and why: folds over the journal, for people. Nothing here decides."""
