"""The face for people: one full-screen application."""
