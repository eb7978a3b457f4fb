"""Chatwoot's API inbox: a channel that customers' own apps feed, and the client API by which they do."""
