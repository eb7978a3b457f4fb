from django.apps import AppConfig


class WhatsAppConfig(AppConfig):
    name = "integrations.whatsapp"
    label = "whatsapp"
    verbose_name = "WhatsApp"

    def ready(self) -> None:
        from integrations import registry
        from integrations.whatsapp.channel import WhatsAppChannel
        from integrations.whatsapp.demo import DEMO

        channel = WhatsAppChannel()
        registry.register(registry.Platform(channel.slug, channel.name, channel=channel, demo=DEMO))
