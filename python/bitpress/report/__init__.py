"""What a file holds, counted to the byte, and the page that shows it."""
