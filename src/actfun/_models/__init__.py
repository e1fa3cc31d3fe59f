"""A network, looked at or prepared."""
