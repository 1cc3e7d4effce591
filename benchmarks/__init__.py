"""How fast, against what: timed side by side in one run, never as a test (chapter 14)."""
