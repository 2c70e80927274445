"""Learning by spike timing and by rank order, and how neurons compete."""
