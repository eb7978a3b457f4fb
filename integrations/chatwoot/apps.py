from django.apps import AppConfig


class ChatwootConfig(AppConfig):
    name = "integrations.chatwoot"
    label = "chatwoot"
    verbose_name = "Chatwoot"

    def ready(self) -> None:
        from agents import system
        from integrations.chatwoot.api_inbox.channel import ApiChannel
        from integrations.chatwoot.channel.channel import ChatwootChannel
        from integrations.chatwoot.dialect import ChatwootDialect
        from integrations.chatwoot.platform import bots
        from integrations.registry import Platform, register

        dialect = ChatwootDialect()
        channel = ChatwootChannel()
        register(Platform(dialect.slug, dialect.name, channel=channel, dialect=dialect))
        # Their API inbox: the same wire, with an app of the business at the other end.
        app = ApiChannel()
        register(Platform(app.slug, app.name, channel=app))
        system.followed.connect(bots.on_followed, dispatch_uid="chatwoot.system_bots")
