"""`make chaos`: every line of the failure table (delivery.md 16), played on the running product.

A stub platform sends signed webhooks and takes what we send, a stub agent answers, a killer breaks
things, and a judge compares four ledgers: what the platform sent and was thanked for, what the database
has, what the agent saw, what the customer saw.

    python -m tests.chaos                 # all of it
    python -m tests.chaos F-02 F-19       # some lines
    python -m tests.chaos --short         # the set that `make test` plays
"""
