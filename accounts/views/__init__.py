"""The pages of people: coming in, the team, and settings."""
