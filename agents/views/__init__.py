"""The pages of agents, of what was delivered, and of rules."""
