"""Studies of learning to defer: one command each, see README.md here."""
