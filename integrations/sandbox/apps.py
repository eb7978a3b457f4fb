from django.apps import AppConfig


class SandboxConfig(AppConfig):
    name = "integrations.sandbox"

    def ready(self) -> None:
        from integrations.registry import Platform, register
        from integrations.sandbox.channel import SandboxChannel
        from integrations.sandbox.demo import DEMO

        channel = SandboxChannel()
        register(Platform(channel.slug, channel.name, channel=channel, demo=DEMO))
