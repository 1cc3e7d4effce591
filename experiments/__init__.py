"""Long runs that feed the book: what they find is collected in `book/data/`."""
