"""What is examined: the host, its models and services, and which of them a run is about."""
