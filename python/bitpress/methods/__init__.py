"""How codes are picked: one file a method."""
