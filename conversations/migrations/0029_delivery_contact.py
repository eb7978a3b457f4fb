"""News of a contact that is about no conversation: erasing them finds it."""

import django.db.models.deletion
from django.db import migrations, models

# The table is closed for a moment: rather fail than let everybody queue.
PATIENTLY = "SET LOCAL lock_timeout = '3s'"


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0028_unsent_text"),
    ]

    operations = [
        migrations.RunSQL(PATIENTLY, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="delivery",
            name="contact",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="conversations.contact",
            ),
        ),
    ]
