"""What keeps the house from starting."""


class StartError(Exception):
    """One sentence for the person who typed the command: what happened and what to do."""
