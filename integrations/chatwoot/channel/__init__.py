"""Role one: a Chatwoot account of the tenant as a channel. See docs/platforms/chatwoot-channel.md."""
