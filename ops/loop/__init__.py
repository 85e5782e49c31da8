"""What people and schedules begin on the way from samples to the next model: collect, propose, retrain, challenge, compare, release."""
