"""Who waits for anybody at all is found without a look at everybody who is open.

The index is built beside the traffic. It is dropped first, so that a run that was cut off, and left a
broken one behind, is simply run again.
"""

from django.db import migrations, models

DROP = "DROP INDEX CONCURRENTLY IF EXISTS conv_waiting_alone"
BUILD = (
    "CREATE INDEX CONCURRENTLY conv_waiting_alone ON conversations_conversation"
    " (account_id, waiting_since) WHERE assignee_id IS NULL AND status = 'open' AND team_id IS NULL"
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("conversations", "0031_address_proven"),
    ]

    operations = [
        migrations.RunSQL(
            [DROP, BUILD],
            DROP,
            state_operations=[
                migrations.AddIndex(
                    model_name="conversation",
                    index=models.Index(
                        condition=models.Q(
                            ("assignee__isnull", True), ("status", "open"), ("team__isnull", True)
                        ),
                        fields=["account", "waiting_since"],
                        name="conv_waiting_alone",
                    ),
                ),
            ],
        ),
    ]
