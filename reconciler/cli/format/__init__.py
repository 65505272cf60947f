"""What commands print: for people, and for other programs."""
