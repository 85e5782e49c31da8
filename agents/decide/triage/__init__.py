"""Patients' own messages: urgency, what is asked, drafts of answers; flags like every other rule."""
