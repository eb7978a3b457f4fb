"""What every REST resource of every room is made of (ecosystem.md 5).

`views` the base viewset inside the account, `fields` opaque ids and strict serializers, `pages` cursor
pages, `parsing` strict JSON, `idempotency`, `schema` what drf-spectacular needs to be told.
"""
