"""What each call does, by subject."""
