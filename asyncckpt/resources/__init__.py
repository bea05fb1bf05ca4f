"""Implements the calls of the API, under the names of the official SDK."""
