"""Extract: sections, entities, assertion, relations of one de-identified message. Pure steps plus the binding ``agent.py``."""
