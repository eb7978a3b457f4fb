from django.apps import AppConfig


class NativeConfig(AppConfig):
    name = "integrations.native"

    def ready(self) -> None:
        from integrations.native.dialect import NativeDialect
        from integrations.registry import Platform, register

        register(
            Platform(
                slug="native",
                name=NativeDialect.name,
                dialect=NativeDialect(),
                connectable=False,
            )
        )
