"""The API's objects as frozen attrs classes, and their conversion from and to JSON."""
