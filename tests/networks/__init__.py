"""Real pretrained networks and the data to judge them by, from installed packages. Nothing is downloaded or committed."""
