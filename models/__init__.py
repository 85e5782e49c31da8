"""Text in, spans out. Knows no Kafka, imports no torch."""
