"""How people run it: the command line, the demo, the doctor."""
