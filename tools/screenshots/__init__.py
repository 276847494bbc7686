"""Pictures of the operations page over a database that was filled for them, by the system's own Chromium."""
