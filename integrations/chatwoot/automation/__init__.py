"""Their automation rules, which are assignment rules of ours in their words.

`conditions` and `actions` translate, both ways and without a database; `rules` keeps and finds.
"""
