from django.apps import AppConfig


class SandboxConfig(AppConfig):
    name = "integrations.sandbox"

    def ready(self) -> None:
        from integrations.registry import Platform, register
        from integrations.sandbox.channel import SandboxChannel

        register(Platform(slug="sandbox", name=SandboxChannel.name, channel=SandboxChannel()))
