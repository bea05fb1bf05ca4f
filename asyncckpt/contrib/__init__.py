"""Connects the package with other packages. Each module needs an extra of the same name."""
