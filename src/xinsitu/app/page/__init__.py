"""The page itself: sessions, bars and forms."""
