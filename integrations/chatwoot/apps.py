from django.apps import AppConfig


class ChatwootConfig(AppConfig):
    name = "integrations.chatwoot"
    label = "chatwoot"
    verbose_name = "Chatwoot"

    def ready(self) -> None:
        from integrations.chatwoot.dialect import ChatwootDialect
        from integrations.registry import Platform, register

        dialect = ChatwootDialect()
        register(Platform(dialect.slug, dialect.name, dialect=dialect, connectable=False))
