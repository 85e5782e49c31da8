"""Faults on a real Apache Kafka and Redis, checked from outside: ``python -m benchmarks.chaos``. What is done to the stream stands in ``schedule.toml``."""
