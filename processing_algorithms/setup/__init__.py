"""Making the backend environment and checking it."""
