"""What their API and their webhooks show of our rows (contract, sections 2, 4.2 and 6), by noun.

Hand-written: the shape is theirs. Ids are the rows' own numbers, a conversation's is its number in the
account. Times are seconds, but for the few that they send as text. What they keep and we do not is empty,
as theirs is on a new row. What only webhooks show is in `payload`.
"""
