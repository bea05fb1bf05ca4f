"""Sends calls over HTTP, with pacing, retries and connection pooling."""
