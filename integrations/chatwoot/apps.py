from django.apps import AppConfig


class ChatwootConfig(AppConfig):
    name = "integrations.chatwoot"
    label = "chatwoot"
    verbose_name = "Chatwoot"

    def ready(self) -> None:
        from integrations.chatwoot.channel.channel import ChatwootChannel
        from integrations.chatwoot.dialect import ChatwootDialect
        from integrations.registry import Platform, register

        dialect = ChatwootDialect()
        channel = ChatwootChannel()
        register(Platform(dialect.slug, dialect.name, channel=channel, dialect=dialect))
