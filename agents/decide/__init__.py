"""Facts and mentions of one patient over time, and the rules that raise flags from them."""
