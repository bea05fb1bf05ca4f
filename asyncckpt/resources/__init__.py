"""The API's calls, under the names of the official SDK."""
