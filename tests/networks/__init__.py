"""Real pretrained networks, and data to judge them by, from installed packages. Nothing is downloaded."""
