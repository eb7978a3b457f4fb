"""What is told of contacts is found by them.

The index is built beside the traffic. It is dropped first, so that a run that was cut off, and left a
broken one behind, is simply run again.
"""

from django.db import migrations, models

DROP = "DROP INDEX CONCURRENTLY IF EXISTS delivery_contact"
BUILD = (
    "CREATE INDEX CONCURRENTLY delivery_contact ON conversations_delivery (contact_id)"
    " WHERE contact_id IS NOT NULL"
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("conversations", "0029_delivery_contact"),
    ]

    operations = [
        migrations.RunSQL(
            [DROP, BUILD],
            DROP,
            state_operations=[
                migrations.AddIndex(
                    model_name="delivery",
                    index=models.Index(
                        condition=models.Q(("contact__isnull", False)),
                        fields=["contact"],
                        name="delivery_contact",
                    ),
                ),
            ],
        ),
    ]
