from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"

    def ready(self) -> None:
        from agents import automation, deciding, late, patience
        from conversations import timers
        from conversations.models import Timer
        from conversations.signals import contact_erased, event_recorded, late_word

        event_recorded.connect(automation.on_events, dispatch_uid="agents.automation")
        contact_erased.connect(deciding.forget, dispatch_uid="agents.forget")
        late_word.connect(late.may_speak, dispatch_uid="agents.late")
        timers.register(Timer.Kind.PATIENCE, patience.over)
