"""Questions: experts have seats, enterprises ask them, and only the two read what is said."""
