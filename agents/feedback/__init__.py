"""Notes that a reviewer would teach the models most by: uncertain, contradictory, or drawn at random."""
