"""Sends a call and returns its response: pacing, retries, sessions, connections."""
